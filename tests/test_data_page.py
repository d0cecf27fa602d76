"""docs/data.md: each row of its table stands for a test on tiny files."""

import importlib

import pytest

from tools.stage_deps import PROJECT

TESTS = {  # how a row begins -> its test
    "images: a folder per role": "test_index_images.test_rows_are_sorted_by_role_and_wnid_and_show_the_right_image",
    "class folders named by words": "test_layouts.test_folders_named_by_words_are_looked_up",
    "ImageNet as distributed": "test_index_images.test_ilsvrcs_archives_are_read_as_distributed",
    "images in one folder, and a table": "test_odd_layouts.test_tables_of_classes_with_spaces_and_empty_lines",
    "Kaggle's ImageNet": "test_layouts.test_kaggles_imagenet_as_unpacked",
    "Hugging Face's `imagenet-1k`": "test_layouts.test_hugging_faces_tars_tell_classes_by_their_images_names",
    "CIFAR-10, CIFAR-100": "test_cifar.test_every_published_form_gives_the_same_index",
    "a tar of class folders": "test_layouts.test_a_tar_of_class_folders_and_an_image_without_class",
    "Tiny ImageNet as distributed": "test_layouts.test_tiny_imagenet_as_distributed_without_unseen",
    "one set for seen and unseen": "test_layouts.test_tiny_imagenet_is_split_by_a_list",
    "the whole 2011 release": "test_index_images.test_seen_classes_among_the_unseen_can_be_left_out",
    "no images of a role": "test_without_images.test_without_any_image_every_stage_ends_well_and_nothing_is_measured",
    "a network that is trained already": "test_without_images."
    "test_unseen_photographs_alone_are_measured_where_no_training_is_needed",
    "links in tars": "test_image_archives.test_links_to_images_in_a_tar_are_images",
    "files that are no images": "test_image_archives.test_what_is_no_image_is_counted_by_kind_whatever_it_is_called",
    "16-bit, 12-bit": "test_decoding.test_more_than_eight_bits_are_scaled_by_what_the_file_says",
    "HEIC, JPEG XL": "test_decoding.test_reasons_name_the_format_and_hold_no_raw_bytes",
    "weights under the library's names": "test_pretrained.test_every_wrapping_of_a_state_dict_is_taken_off",
    "weights whose outputs": "test_pretrained.test_outputs_are_found_by_a_list_in_output_order",
    "weights that learnt": "test_pretrained."
    "test_weights_from_a_file_must_be_normalised_as_published_or_said_to_be_ones_own",
    "ImageNet weights without": "test_pretrained.test_a_package_is_fetched_by_pip_once_and_known_by_its_checksum",
    "plain text": "test_text_layouts.test_text_is_unpacked_whatever_it_is_called",
    "WikiExtractor's output": "test_text_layouts.test_wikiextractors_documents_as_they_come",
    "a MediaWiki dump": "test_text_layouts.test_of_all_revisions_the_newest_is_taken",
    "links in a folder of text": "test_text_layouts.test_links",
    "packed text with zeros": "test_text_layouts.test_zeros_behind_packed_text_are_padding",
    "several texts": "test_text_layouts.test_several_texts_are_one_corpus",
    "word vectors as text": "test_vector_files.test_tables_by_tabs_commas_and_spaces",
    "a zip of vectors": "test_vector_files.test_of_a_zip_of_several_files_one_is_named",
    "word2vec's binary form": "test_vector_files.test_spaces_in_terms_of_binary_files_are_found_out",
    "gensim's `KeyedVectors`": "test_vector_files.test_gensims_models_whose_vectors_lie_elsewhere_are_named",
    "vectors by class": "test_vector_files.test_vectors_by_class_take_the_terms_place",
    "numbers of images by class": "test_odd_layouts.test_counts_are_parted_as_lists_are",
    "lists of wnids": "test_lists.test_every_reader_takes_every_form"}


def test_every_row_has_a_test():
    lines = (PROJECT / "docs" / "data.md").read_text(encoding="utf-8").splitlines()
    rows = [line.removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    assert len(rows) == len(TESTS)
    assert all(row.startswith(beginning) for row, beginning in zip(rows, TESTS, strict=True))


@pytest.mark.parametrize("name", TESTS.values())
def test_it_is_there(name):
    module, function = name.split(".")
    assert callable(getattr(importlib.import_module(f"tests.{module}"), function))

from tools import keep_results


def test_params_that_differ_are_told_but_no_path_and_no_section_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "demo.yaml").write_text("index_images:\n  images: data\n  workers: 2\nmine:\n  a: 1\n")
    (tmp_path / "params.yaml").write_text(
        "x-threads: &t 8\nx-some: {a: 1}\nindex_images:\n  images: /home/me\n  workers: *t\nmine: {a: 1}\n"
        "new: {b: 2}\n")
    monkeypatch.chdir(tmp_path)
    assert keep_results.changed_params() == ["index_images.images: (the path of the input)", "index_images.workers: 8",
                                             "new.b: 2"]

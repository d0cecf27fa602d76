import bz2
import re
from xml.etree import ElementTree

import pytest
from gensim.corpora.wikicorpus import filter_wiki
from gensim.test.utils import datapath
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zeroshot.text.markup import filtered, plain_text

DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
PIECES = st.sampled_from([  # what any of filter_wiki's patterns looks at, and some text
    "{", "}", "{{", "}}", "{|", "|}", "|-", "|", "||", "|||", "!", "!!", "[", "]", "[[", "]]", "\n", "\n\n", " ", "  ",
    "\t", "a", "word", "7", "-", ":", "//", "http://x.y z", "<", ">", "/>", "<!--", "-->", "<ref", "<ref>", "</ref>",
    "<nowiki>", "</nowiki>", "<math>", "</math>", "<br />", "File:", "[[Image:", "image", "Category:", "[[Category:",
    "\n[[fr:", "\n[[zh-min-nan:x]]", "class=", "style=", "scope=", "bgcolor", "3 colspan", "rowspan", "align=", "&amp;",
    "&lt;", "&#65;", "&#x41;", "&nbsp;", "&no;", "''", "*", "#", "é", "\u2028", "\x85"])


@settings(deadline=None, max_examples=150)
@given(st.lists(PIECES, max_size=40).map("".join))
@example("a\n[[fr:x]]\n[[de:y]]\n")
@example("one {{two {three}} four} five}} six {{seven")
@example("text\n|-7\n|- style\n| a || b ||| c\n! class= | d\nend")
def test_filtered_is_filter_wiki(markup):
    assert filtered(markup) == filter_wiki(markup)


@pytest.fixture(scope="module")
def articles():
    """The articles in gensim's piece of a dump, as markup."""
    pages = re.findall(rb"<page>.*?</page>", bz2.open(datapath(DUMP)).read(), re.DOTALL)
    markups = [ElementTree.fromstring(page).findtext("revision/text") or "" for page in pages]
    return [markup for markup in markups if len(markup) > 1000]


def test_filtered_is_filter_wiki_on_real_articles(articles):
    assert len(articles) == 105
    assert all(filtered(markup) == filter_wiki(markup) for markup in articles[::4])


def test_what_goes_first_takes_tables_and_no_sentence_along(articles):
    lost = kept = 0
    for markup in articles[::10]:
        ours, theirs = plain_text(markup).split(), filter_wiki(markup).split()
        kept, lost = kept + len(ours), lost + len(theirs) - len(ours)
    assert kept > 20_000 and 0 <= lost < 0.05 * kept


def test_an_article():
    assert plain_text("""<!-- a --b -->{{Infobox|{{x}}|y}}'''Foxes''' are [[mammal]]s of the
[[Canidae|dog family]].<ref name="a">No.</ref><ref name="b"/>

== Kinds ==
{| class="wikitable"
| red || fox
|}
* [http://example.org/fox Kit fox] &amp; others[[File:fox.jpg|thumb|A fox.]]
[[Category:Foxes]]
[[fr:Renard]]""").split("\n") == [
        "'''Foxes''' are mammals of the", "dog family.", "", "== Kinds ==", "", "*  Kit fox & othersA fox.", ""]

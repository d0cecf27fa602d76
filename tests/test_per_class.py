import pandas as pd

from stages.make_tables import per_class_table


def test_columns_stand_as_xian_et_al_have_them():
    rows = [("devise", "21k", 0.012), ("devise", "2-hops", 0.25), ("devise", "most-500+seen", 0.0625),
            ("devise", "least-500", 0.5), ("devise", "most-1000", 1.0), ("devise", "most-500", 0.125),
            ("conse-10", "2-hops", 0.0), ("softmax", "seen", 0.9)]
    results = pd.DataFrame([(model, name, "macro_hit", 1, value) for model, name, value in rows]
                           + [("devise", "3-hops", "macro_hit", 5, 0.7), ("devise", "3-hops", "hit", 1, 0.7)],
                           columns=["model", "label_set", "metric", "k", "value"])
    assert per_class_table(results).splitlines()[4:] == [
        "| model | candidates | 2-hops | most-500 | most-1000 | least-500 | 21k |", "|---|---|--:|--:|--:|--:|--:|",
        "| DeViSE | unseen | 25.0 | 12.5 | 100.0 | 50.0 | 1.2 |", "| DeViSE | and seen | – | 6.2 | – | – | – |",
        "| ConSE(10) | unseen | 0.0 | – | – | – | – |"]

"""Pages of metrics and selectors of their series."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.modules import prometheus

PAGE = """\
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
broken{a="b" 5
nan_one NaN
openmetrics_total{a="b"} 5 1395066363.5 # {trace="x"} 0.5
"""


def found(selector):
    return list(prometheus.series(PAGE, prometheus.selector(selector)))


def test_the_example_of_the_format_s_own_page_is_read():
    first, second = found("http_requests_total")
    assert (first.name, first.value, first.time) == ('http_requests_total{code="200",method="post"}', 1027, 1395066363)
    assert (second.labels, second.counter) == ({"method": "post", "code": "400"}, True)
    [plain] = found("metric_without_timestamp_and_labels")
    assert (plain.name, plain.value, plain.time, plain.counter) == (
        "metric_without_timestamp_and_labels",
        12.47,
        None,
        False,
    )
    [escaped] = found("msdos_file_access_time_seconds")
    assert escaped.labels == {"path": "C:\\DIR\\FILE.TXT", "error": 'Cannot find file:\n"FILE.TXT"'}
    assert found("something_weird")[0].value == math.inf
    assert math.isnan(found("nan_one")[0].value)
    assert found("rpc_duration_seconds_sum")[0].counter
    assert (found("openmetrics_total")[0].value, found("openmetrics_total")[0].time) == (5, 1395066363.5)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"])
def test_a_label_s_value_forges_no_line_whatever_unicode_takes_for_the_end_of_one(end):
    page = f'tokens_total{{m="a"}} 5\nlora{{name="x{end}tokens_total 0 "}} 1\n'
    assert [one.value for one in prometheus.series(page, prometheus.selector("tokens_total"))] == [5]
    assert prometheus.names(page) == ["lora", "tokens_total"]


def test_lines_of_a_page_may_end_as_windows_ends_them():
    page = 'a{b="c"} 1\r\na{b="d"} 2\r\n'
    assert [(one.value, one.labels) for one in prometheus.series(page, prometheus.selector("a"))] == [
        (1, {"b": "c"}),
        (2, {"b": "d"}),
    ]


@pytest.mark.parametrize("labels", ["m='a'", "m=a", 'm=~"a"', 'm="a" b="c"', '"m"="a"', 'm="a",,'])
def test_what_is_not_written_as_a_page_writes_labels_is_no_series(labels):
    assert list(prometheus.series(f"tokens_total{{{labels}}} 5", prometheus.selector("tokens_total"))) == []


def test_no_value_of_a_label_makes_one_series_look_like_another():
    page = 't{a="b",c="d"} 1\nt{a="b\\",c=\\"d"} 2\n'
    first, second = prometheus.series(page, prometheus.selector("t"))
    assert first.name != second.name
    assert [one.name for one in prometheus.series(page.replace("2", "3"), prometheus.selector(second.name))] == [
        second.name
    ]


@pytest.mark.parametrize(
    ("matchers", "codes"),
    [
        ('{code="200"}', ["200"]), ('{code!="200"}', ["400"]), ('{code=~"4.."}', ["400"]), ('{code!~"4.."}', ["200"]),
        ('{method="post", code=~"2.*|4.*",}', ["200", "400"]), ("{missing=''}", ["200", "400"]), ('{code="2"}', []), ("{}", ["200", "400"]),
        ('{code=~"0"}', []),
    ],
)  # fmt: skip
def test_matchers_mean_what_they_mean_in_prometheus(matchers, codes):
    assert [one.labels["code"] for one in found(f"http_requests_total{matchers}")] == codes


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "names no metric"), ("a b", "names no metric"), ("a{b}", "says nothing of a label"), ('a{b="c"', "names no metric"),
        ('a{b=~"("}', "is no regular expression"), ("rate(a[5m])", "names no metric"),
    ],
)  # fmt: skip
def test_a_selector_that_is_none_is_told(text, part):
    with pytest.raises(ValueError, match=part.replace("(", r"\(")):
        prometheus.selector(text)


@given(st.text())
def test_no_page_makes_it_fail(page):
    wanted = prometheus.selector("a")
    list(prometheus.series(page, wanted))
    list(prometheus.series("a" + page, wanted))
    prometheus.names(page)


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z_]{1,8}\Z"),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")),
        max_size=4,
    )
)
def test_any_label_comes_back_as_it_was_written(labels):
    written = ",".join(
        '{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, value in labels.items()
    )
    [one] = prometheus.series(f"a{{{written}}} 1", prometheus.selector("a"))
    assert one.labels == labels

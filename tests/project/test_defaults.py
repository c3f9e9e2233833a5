"""How `defaults` are merged: held against Dagster Cloud's own tools."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from dagster_cloud_cli.config import DagsterCloudConfigDefaultsMerger
from hypothesis import example, given
from hypothesis import strategies as st

from builder.project.defaults import merge

_NAMES = st.sampled_from(["a", "b", "c"])
_VARIABLES = st.lists(st.builds("{}={}".format, _NAMES, _NAMES) | _NAMES, max_size=4)
_SCALARS = st.text(max_size=3) | st.integers() | st.booleans()


def _named(key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({key: _NAMES}, optional={"size": st.integers(0, 2)}), max_size=3)


def _table(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


_ENTRIES = _table(
    agent_queue=_SCALARS,
    image=_SCALARS,
    container_context=_table(
        docker=_table(env_vars=_VARIABLES),
        ecs=_table(
            env_vars=_VARIABLES,
            secrets=_named("name"),
            volumes=_named("name"),
            run_ecs_tags=_named("key"),
            mount_points=_named("name"),
        ),
        k8s=_table(
            env_vars=_VARIABLES,
            labels=st.lists(_NAMES, max_size=3),
            volumes=_named("name"),
            run_k8s_config=_table(container_config=_table(args=st.lists(_NAMES), command=st.lists(_NAMES))),
        ),
    ),
)


def _arguments(*values: str) -> dict[str, Any]:
    return {"container_context": {"k8s": {"run_k8s_config": {"container_config": {"args": list(values)}}}}}


@given(_ENTRIES, _ENTRIES)
@example(_arguments("a", "b"), _arguments("c"))
def test_defaults_are_merged_as_dagster_clouds_own_tools_do(
    defaults: dict[str, Any], entry: dict[str, Any]
) -> None:
    merger: Any = DagsterCloudConfigDefaultsMerger
    expected = merger().merge(deepcopy(defaults), deepcopy(entry))
    assert merge(defaults, entry) == expected


def test_nothing_that_is_merged_is_changed() -> None:
    defaults: dict[str, Any] = {"container_context": {"k8s": {"labels": ["a"]}}}
    entry: dict[str, Any] = {"container_context": {"k8s": {"labels": ["b"]}}}
    merge(defaults, entry)
    assert defaults == {"container_context": {"k8s": {"labels": ["a"]}}}
    assert entry == {"container_context": {"k8s": {"labels": ["b"]}}}


def test_a_null_hides_no_default() -> None:
    assert merge({"a": 1, "b": [1]}, {"a": None, "b": None, "c": None}) == {"a": 1, "b": [1], "c": None}

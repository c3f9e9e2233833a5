"""Misspelt keys of dagster_cloud.yaml are found, whatever level they are at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dagster_cloud_cli.config import models

from builder.errors import ProjectError
from builder.project import known_keys
from builder.project.workspace import read_workspace

GOOD = """
defaults:
  agent_queue: q
locations:
  - location_name: a
    code_source:
      module_name: m
    attribute: defs
    build:
      directory: .
"""


def test_the_known_keys_are_those_of_the_existing_tool() -> None:
    assert models.DagsterCloudYaml.model_fields.keys() == known_keys.WORKSPACE
    assert models.Location.model_fields.keys() == known_keys.LOCATION
    assert models.CodeSource.model_fields.keys() == known_keys.CODE_SOURCE
    assert models.LocationDefaults.model_fields.keys() <= known_keys.DEFAULTS


@pytest.mark.parametrize(
    "right, wrong, line",
    [
        ("defaults:", "defualts:", 2),
        ("agent_queue:", "agent_que:", 3),
        ("attribute:", "atribute:", 8),
        ("module_name:", "modul_name:", 7),
        ("build:", "buidl:", 9),
    ],
)
def test_a_misspelt_key_is_refused_with_its_line_and_the_right_one(
    tmp_path: Path, right: str, wrong: str, line: int
) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    path.write_text(GOOD)
    assert read_workspace(path).select(()).notices == ()
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(ProjectError) as caught:
        read_workspace(path).select(())
    assert caught.value.what == f"`{wrong[:-1]}` is not a key that Dagster Cloud knows"
    assert caught.value.remedy == f"Write `{right[:-1]}`"
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_key_of_a_newer_server_is_passed_on_and_named(tmp_path: Path) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    path.write_text(GOOD.replace("    attribute: defs\n", "    scaling: {replicas: 2}\n    git: {url: u}\n"))
    (location,) = read_workspace(path).locations
    assert location.settings["scaling"] == {"replicas": 2}
    assert [(notice.text, notice.where and notice.where.line) for notice in location.notices] == [
        ("`scaling` is not a known key of Dagster Cloud; it is passed on: remove it if you do not need it", 8)
    ]


@pytest.mark.parametrize(
    "right, template, line",
    [
        ("module_name: m", "module_name: {{ module }}", 7),
        ("module_name: m", "module_name: '{{ module }}.defs'", 7),
        ("    attribute: defs", "    {% if prod %}\n    attribute: defs\n    {% endif %}", 8),
    ],
)
def test_a_template_is_refused_with_how_to_render_it(tmp_path: Path, right: str, template: str, line: int) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    path.write_text(GOOD.replace(right, template))
    with pytest.raises(ProjectError, match="is to be rendered by Jinja") as caught:
        read_workspace(path)
    assert (caught.value.where and caught.value.where.line) == line
    assert "dagster-cloud ci template --value NAME=VALUE" in str(caught.value.remedy)


def test_what_a_template_of_others_is_goes_to_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    given = {"k8s": {"server_k8s_config": {"pod_template_spec_metadata": {"annotations": {"a": "{{ with }}"}}}}}
    path.write_text(
        GOOD.replace("    attribute: defs\n", f"    container_context: {json.dumps(given)}  # {{{{ x }}}}\n")
    )
    (location,) = read_workspace(path).select(()).locations
    assert location.settings["container_context"] == given

from bench import memory


def test_memory_is_not_measured_where_control_groups_can_not_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "none")
    measured = memory.measure(lambda _: None)
    (told,) = memory.tables(measured)
    assert told.startswith("memory: SKIPPED, control groups")

"""What `make up` and its kin do with odd values, odd files and odd surroundings, without starting a server."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from samcli.cli.types import CfnParameterOverridesType

from cli.progress import Progress
from local import docs, package, processes, sam, stack, verbs
from local.options import ROOT, Options, port_in
from local.processes import ServerError, Servers, alone_in, read_state, write_state
from tests.people import inputs

DONE_ELSEWHERE = ("_store_credentials", "_mend_concurrency", "_mend_ledger", "_wait_for", "_check_running")
NAP = [sys.executable, "-c", "import time; time.sleep(60)"]
BROKEN = {
    "empty": b"",
    "cut off": b'{"emulator": {"pid": "1',
    "a list": b"[]",
    "null": b"null",
    "no object": b'{"emulator": 5}',
    "no number": b'{"emulator": {"pid": "one", "started": "x"}}',
    "no start": b'{"emulator": {"pid": "1"}}',
    "no text": b"\xff\xfe\x00",
    "too deep": b"[" * 100_000,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
@example(value='O"B\' \\ $X, a=b #1 {"x": [y]}')
@example(value='"quoted"')
@example(value="'quoted'")
@example(value="\\\\ \\\" \\' \\")
@example(value="yes")
@example(value="007")
@example(value="\U0001f600")
def test_a_parameters_value_reaches_sam_whole(tmp_path, value):
    file = tmp_path / "parameters.yaml"
    sam.write_parameters(file, {"CxoneCampaignId": value, "CxoneOperatorId": None, "$other": "x"})
    read = CfnParameterOverridesType().convert((f"file://{file}",), None, None)
    assert read == {"CxoneCampaignId": value, "CxoneOperatorId": "", "$other": "x"}


@pytest.mark.parametrize("name", ["CXONE_CLIENT_SECRET", "CXONE_CLIENT_ID"])
def test_a_credential_is_kept_whole_or_refused(name):
    value = "a\"b'c\\\\d $HOME $(x) `y`, z=1 #&%+ \u00e9\U0001f600  "
    options = Options.from_environment({name: value})
    assert value in {options.client_id, options.client_secret}
    with pytest.raises(ServerError, match=f"{name} is no UTF-8 text"):
        Options.from_environment({name: b"a\xffb".decode("utf-8", "surrogateescape")})


@inputs("e_settings")
def test_a_port_or_an_architecture_is_used_or_refused_with_what_it_may_be(monkeypatch, capsys, entry):
    name, value = entry["name"], entry["value"]
    monkeypatch.setenv(name, value)
    if name == "ARCHITECTURE":
        if entry["accepted"]:
            assert verbs.command("build", {name: value})[1][name] == value
            return
        with pytest.raises(verbs.VerbError, match=r"ARCHITECTURE is .*arm64 or x86_64"):
            verbs.command("package", {name: value})
        if value:
            monkeypatch.setattr(package, "package", lambda *_: pytest.fail("built"))
            assert package.main() == 1
            assert "ARCHITECTURE is" in capsys.readouterr().err
    elif entry["accepted"]:
        assert port_in(os.environ, name, 8091) == (int(value) if value else 8091)
    else:
        with pytest.raises(ServerError, match=rf"{name} is .*a number from 1 to 65535"):
            port_in(os.environ, name, 8091)
        if name == "DOCS_PORT":
            assert docs.main() == 1
            assert "DOCS_PORT is" in capsys.readouterr().err


@pytest.fixture
def napping(tmp_path):
    """A server of a folder that does nothing."""
    servers = Servers(tmp_path)
    process = processes._start(NAP, os.environ, None, tmp_path / "nap.log")
    servers._record("nap", process.pid)
    yield servers, process
    process.kill()
    process.wait()


class TestServers:
    @pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns", ":nonsense"])
    @pytest.mark.parametrize("path", [os.environ["PATH"], "/nonexistent"], ids=["with ps", "without ps"])
    def test_they_are_known_in_every_time_zone_and_without_ps(self, monkeypatch, napping, zone, path):
        for name, value in {"TZ": zone, "LC_ALL": "de_DE.UTF-8", "PATH": path}.items():
            monkeypatch.setenv(name, value)
        assert napping[0].running() == ["nap"]
        assert napping[0].stop() == ["nap"]
        assert napping[1].wait(10) is not None

    @pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
    def test_they_are_known_in_every_time_zone_where_there_is_only_ps(self, monkeypatch, tmp_path, zone):
        monkeypatch.setattr(processes, "_BOOT", tmp_path / "nothing")
        monkeypatch.setenv("TZ", "America/New_York")
        started = processes._started(os.getpid())
        monkeypatch.setenv("TZ", zone)
        assert started == processes._started(os.getpid()) != ""
        assert processes._started(2**22 + 1) == ""

    def test_one_that_has_ended_does_not_run(self, napping):
        napping[1].kill()
        os.waitid(os.P_PID, napping[1].pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has looked yet
        assert napping[0].running() == napping[0].stop() == []

    def test_another_process_of_the_same_number_is_left_alone(self, tmp_path, napping):
        write_state(tmp_path / "processes.json", {"nap": {"pid": str(napping[1].pid), "started": "then"}})
        assert napping[0].stop() == []
        assert napping[1].poll() is None

    @pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
    def test_a_broken_list_of_them_is_told_of_with_what_to_do(self, tmp_path, content):
        (tmp_path / "processes.json").write_bytes(content)
        (tmp_path / "stack.json").write_text("{}")
        for use in (Servers(tmp_path).running, Servers(tmp_path).stop, lambda: stack.down(tmp_path)):
            with pytest.raises(ServerError, match=r"processes\.json is broken.*remove the file"):
                use()
        assert (tmp_path / "stack.json").exists(), "what describes servers that run stays"


class TestStateFiles:
    def test_a_write_that_breaks_off_leaves_the_old_state(self, monkeypatch, tmp_path):
        file = tmp_path / "state.json"
        write_state(file, {"a": 1})
        with pytest.raises(TypeError):
            write_state(file, {"a": object()})
        monkeypatch.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            write_state(file, {"a": 2})
        assert read_state(file) == {"a": 1}

    @pytest.mark.parametrize("content", [*BROKEN.values(), b'{"awsEndpointUrl": "x"}'])
    def test_a_broken_description_of_a_running_stack_is_told_of_with_what_to_do(self, monkeypatch, tmp_path, content):
        options = Options(folder=tmp_path, ministack_port=1, simulator_port=2)
        (tmp_path / "stack.json").write_bytes(content)
        monkeypatch.setattr(Servers, "running", lambda _: ["emulator", "simulator"])
        with pytest.raises(ServerError, match=r"stack\.json is broken; `make down`"):
            stack._runs_already(Servers(tmp_path), options)


class TestTwoAtOnce:
    @pytest.mark.parametrize("command", ["up", "down"])
    def test_the_second_is_refused_and_touches_nothing(self, monkeypatch, tmp_path, capsys, command):
        monkeypatch.setattr(stack, "FOLDER", tmp_path)
        monkeypatch.setattr(sys, "argv", ["stack", command])
        for name in ("up", "down"):
            monkeypatch.setattr(stack, name, lambda *_: pytest.fail("ran"))
        with alone_in(tmp_path, "never"):
            assert stack.main() == 1
        assert "another `make up` or `make down` is at work" in capsys.readouterr().err

    def test_a_lock_ends_with_its_process_and_no_server_inherits_it(self, tmp_path):
        code = (
            "import os, signal; from pathlib import Path; from local.processes import alone_in, _start\n"
            f"folder = Path({str(tmp_path)!r})\n"
            f"with alone_in(folder, ''):\n print(_start({NAP!r}, os.environ, None, folder / 'log').pid, flush=True)\n"
            " os.kill(os.getpid(), signal.SIGKILL)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == -signal.SIGKILL, done.stderr
        try:
            with alone_in(tmp_path, "still locked"):
                pass
        finally:
            os.kill(int(done.stdout), signal.SIGKILL)

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(ServerError, match="can't be written"), alone_in(tmp_path / "file" / "folder", ""):
            pass


class TestReaders:
    """A reader that leaves, as `| head` does."""

    def run(self, *arguments, unbuffered=""):
        read, write = os.pipe()
        os.close(read)
        try:
            return subprocess.run(  # noqa: S603
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
                stdout=write,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        finally:
            os.close(write)

    @pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["audit", "--help"]])
    def test_the_command_line_ends_quietly_and_as_it_would(self, arguments):
        done = self.run("-m", "cli", *arguments)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_program_does_its_work_to_the_end(self, tmp_path, unbuffered):
        code = (
            "import sys; from cli.progress import Progress; progress = Progress()\n"
            "for _ in range(3000):\n progress.say('x' * 100)\n print('y' * 100)\n"
            f"open({str(tmp_path / 'done')!r}, 'w').close(); sys.exit(7)"
        )
        done = self.run("-c", code, unbuffered=unbuffered)
        assert (done.returncode, done.stderr) == (7, "")
        assert (tmp_path / "done").exists()

    def test_all_is_written_while_there_is_one(self):
        code = "from cli.progress import Progress; Progress(); Progress(); print('é' * 99_999); print('end')"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
        assert done.stdout == "é" * 99_999 + "\nend\n"


def test_what_tools_keep_is_in_this_folder():
    """Whatever HOME is; only what the environment places elsewhere is elsewhere."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    places = dict(re.findall(r"^export (\w+) \?= \$\(abspath (\S+)\)$", makefile, re.MULTILINE))
    kept = sam.kept_here({})
    assert kept == {name: str(ROOT / places[name]) for name in kept}
    assert {"XDG_CACHE_HOME", "__SAM_CLI_APP_DIR", "PIP_CACHE_DIR", "npm_config_cache"} == places.keys()
    assert all(place.startswith(".tools/") for place in places.values()), "git ignores it, and `make clean` removes it"
    assert sam.kept_here({"XDG_CACHE_HOME": "/cache"})["XDG_CACHE_HOME"] == "/cache"


def test_sam_is_run_with_these_and_with_temporary_files_that_down_removes(monkeypatch, tmp_path):
    environments = []
    monkeypatch.setattr(sam, "run", lambda _, environment, *__: environments.append(environment) or 0)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    options = Options(folder=tmp_path, ministack_port=1, simulator_port=2)
    sam.build(options)
    sam.deploy(options)
    for environment in environments:
        assert environment.items() >= sam.kept_here({}).items() | {("TMPDIR", str(tmp_path / "tmp"))}
    assert len(environments) == 2
    stack.down(tmp_path)
    assert not (tmp_path / "tmp").exists()


def test_up_names_the_api_that_it_deploys(monkeypatch, tmp_path, capsys):
    outputs = {"ApiUrl": "http://127.0.0.1:1/", "WebhookUrl": "http://127.0.0.1:1/w", "LedgerTableName": "ledger"}
    listed = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
    described = SimpleNamespace(describe_stacks=lambda **_: {"Stacks": [{"Outputs": listed}]})
    monkeypatch.setattr(stack, "aws_client", lambda *_: described)
    monkeypatch.setattr(stack, "_runs_already", lambda *_: True)
    for module, name in [(sam, "build"), (sam, "deploy"), *((stack, each) for each in DONE_ELSEWHERE)]:
        monkeypatch.setattr(module, name, lambda *_: None)
    stack.up(Options(folder=tmp_path, ministack_port=1, simulator_port=2, api="dfo-3.0"), Progress())
    assert "deployed template.yaml, to speak dfo-3.0" in capsys.readouterr().out
    written = json.loads((tmp_path / "stack.json").read_text())
    assert written["api"] == "dfo-3.0"
    assert set(written) == {"api", "apiUrl", "awsEndpointUrl", "region", "simulatorUrl", "outputs"}

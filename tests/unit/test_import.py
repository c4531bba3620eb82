import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_socket import SocketBlockedError

LAYER = Path(__file__).parents[2] / "layers" / "messaging"
MODULES = sorted(
    ".".join(path.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__")
    for path in (LAYER / "cxone_messaging").rglob("*.py")
)
FUNCTIONS = sorted(path.parent for path in (LAYER.parents[1] / "functions").glob("*/handler.py"))
# What costs a cold start much; boto3 nobody needs, since botocore makes the clients.
PACKAGES = {"boto3", "phonenumbers", "requests", "s3transfer"}
# Everything that reaches out of the process, or looks for credentials, ends it.
FORBIDDEN = """
import sys
def watch(event, arguments):
    reaching = event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "subprocess."))
    credentials = event == "open" and ".aws" in str(arguments[0])
    if reaching or credentials:
        print("forbidden:", event, arguments, flush=True)
        __import__("os")._exit(9)
sys.addaudithook(watch)
"""


def run(code, *paths):
    """Run code in a fresh interpreter with an empty environment."""
    program = f"{FORBIDDEN}\nsys.path[:0] = {[str(path) for path in paths]!r}\n{code}"
    return subprocess.run(  # noqa: S603
        [sys.executable, "-B", "-c", program], env={}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_watch_does_watch():
    done = run("import socket; socket.create_connection(('127.0.0.1', 9))")
    assert done.returncode == 9
    assert "forbidden: socket." in done.stdout


def test_segments_is_a_library_that_needs_nothing():
    code = """
from cxone_messaging.segments import count
import json
size = count("hello")
print(json.dumps([size.encoding, size.units, size.segments, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    done = run(code, LAYER)
    assert done.returncode == 0, done.stdout + done.stderr
    *size, modules = json.loads(done.stdout)
    assert size == ["GSM-7", 5, 1]
    assert not {"boto3", "botocore", "requests", "pydantic", "aws_lambda_powertools", "phonenumbers"} & set(modules)


def test_every_module_imports_without_environment_credentials_or_network():
    assert "cxone_messaging.use_cases.send.send_message" in MODULES
    done = run(f"import importlib\nfor name in {MODULES!r}: importlib.import_module(name)\nprint('all')", LAYER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "all\n"


def test_each_function_imports_only_what_its_path_needs_and_collects_garbage_again():
    code = f"""
import gc, json, sys
import handler
loaded = sorted({PACKAGES!r} & {{name.partition(".")[0] for name in sys.modules}})
print(json.dumps([gc.isenabled(), gc.get_freeze_count(), gc.get_stats()[0]["collections"], loaded]))
"""
    for function in FUNCTIONS:
        done = run(code, function, LAYER)
        assert done.returncode == 0, done.stdout + done.stderr
        enabled, frozen, collections, loaded = json.loads(done.stdout)
        assert enabled, f"{function.name} does not end with startup.finish()"
        assert frozen, f"{function.name} does not end with startup.finish()"
        assert collections < 10, f"{function.name} does not begin with startup"
        speaks_http = function.name in {"send_message", "send_bulk", "approve_template", "collect_receipts"}
        assert loaded == (["requests"] if speaks_http else []), function.name


@pytest.mark.parametrize(
    ("api", "function", "own", "other"),
    [
        ("", "send_message", "sms_v2", "dfo"),
        ("sms-v2", "send_bulk", "sms_v2", "dfo"),
        ("sms-v2", "approve_template", "sms_v2", "dfo"),
        ("dfo-3.0", "send_message", "dfo", "sms_v2"),
        ("dfo-3.0", "send_bulk", "dfo", "sms_v2"),
        ("dfo-3.0", "approve_template", "", "sms_v2"),
        ("dfo-3.0", "collect_receipts", "dfo", "sms_v2"),
    ],
)
def test_a_function_imports_the_api_that_it_speaks_as_it_starts_and_never_the_other(api, function, own, other):
    code = f"""
import os
os.environ["CXONE_API"] = {api!r}
import json, sys
import handler
print(json.dumps(sorted(sys.modules)))
"""
    (folder,) = (each for each in FUNCTIONS if each.name == function)
    done = run(code, folder, LAYER)
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = json.loads(done.stdout)
    package = "cxone_messaging.adapters.cxone"
    assert not own or f"{package}.{own}" in loaded
    assert not [each for each in loaded if each.startswith(f"{package}.{other}")]
    # Nor cryptography, which botocore would import here: pyOpenSSL is among the tools, and not in the layer.
    assert "jwt" not in loaded


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_unit_tests_open_no_socket():
    with pytest.raises(SocketBlockedError):
        socket.socket()

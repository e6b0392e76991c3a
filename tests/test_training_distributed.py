"""More than one process: whoever trains a shard, and whatever dies on the way, the bytes are the same."""

import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import cli
from lab.config.experiment import ConfigError, from_values, load, parse
from lab.config.source import read_file, read_yaml, tasks_in
from lab.machine.surroundings import Unusable
from lab.results import shards, summary
from lab.results.store import Run, StoreError, lock
from lab.tasks import Race
from lab.training import distributed, engine
from tests.stored_runs import content

CONFIG = """
name: shares
task: race
seeds: {first: 5, count: 250}
training: {steps: 100, segments: 10, block_width: 32}
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.5}, {until: 1, weights: {test: 1}}]
sweep:
  preference: [-0.1, 0.1]
"""
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is an optional extra")


def prepared(folder):
    with lock(folder):
        engine.prepare(parse(CONFIG), folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    engine.run(parse(CONFIG), folder)
    return folder


@pytest.mark.parametrize("order", [[0], [1, 0], [6, 2, 4, 0, 1, 5, 3]], ids=len)
def test_any_number_of_workers_in_any_order_gives_the_same_bytes(tmp_path, whole, order):
    folder = prepared(tmp_path / "run")
    trained = [distributed.work(folder, rank, len(order)) for rank in order]
    assert sum(trained) == 4 * 8  # distinct conditions x blocks of 32
    assert content(folder) == content(whole)
    assert distributed.work(folder, 0, 1) == 0


def test_every_config_is_read_back_from_a_manifest(pytestconfig, monkeypatch):
    monkeypatch.chdir(pytestconfig.rootpath / "experiments" / "outside")
    root = pytestconfig.rootpath
    paths = [*sorted((root / "configs").rglob("*.yaml")), *sorted((root / "experiments" / "outside").glob("*.yaml"))]
    assert len(paths) > 20
    every = [(path, task) for path in paths for task in tasks_in(read_yaml(read_file(path), str(path))) or [None]]
    for path, task in every:
        experiment = load(path, trust_code=True, task=task)

        class Stored(Run):
            manifest = json.loads(json.dumps(engine.describe(experiment, jax.devices())))

        again = distributed.experiment_of(object.__new__(Stored), trust_code=True)
        assert again.conditions == experiment.conditions
        assert (again.ends, again.training, again.seeds) == (experiment.ends, experiment.training, experiment.seeds)


def test_any_question_and_any_number_of_phases_get_through_a_manifest(tmp_path):
    """As text these would be other characters, or more values than a config may have."""
    question = "\N{GRINNING FACE} \x85 \u2028 \t 'or' \"not\" \N{LATIN SMALL LETTER E WITH ACUTE}"
    phases = [{"until": 1, "weights": {"test": 0.5}} for _ in range(500)]
    values = {**json.loads(json.dumps(parse(CONFIG).as_json())), "question": question}
    values["regimens"] = {f"r{index}": phases for index in range(20)}
    values |= {"baseline": "r7", "sweep": {}, "training": {"steps": 100, "segments": 1}}
    experiment = from_values(values)
    with lock(tmp_path / "run"):
        stored = engine.prepare(experiment, tmp_path / "run")
    assert distributed.experiment_of(stored).config.question == question
    assert distributed.experiment_of(Run(tmp_path / "run")).conditions == experiment.conditions


def test_workers_and_a_driver_keep_out_of_each_others_way(tmp_path):
    folder = prepared(tmp_path / "run")
    with lock(folder), pytest.raises(StoreError, match="in use by process"):
        distributed.work(folder, 0, 2)
    with lock(folder, shared=True), pytest.raises(StoreError, match="in use"):
        engine.run(parse(CONFIG), folder)
    with lock(folder, ".lock-0-of-2"), pytest.raises(StoreError, match="in use"):
        distributed.work(folder, 0, 2)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--rank", "2", "--of", "2"], 2, "--rank must lie in 0 to 1, not 2"),
        (["--rank", "-1", "--of", "2"], 2, "--rank must lie in 0 to 1, not -1"),
        (["--rank", "0", "--of", "0"], 2, "--of must be at least 1, not 0"),
    ],
)
def test_wrong_ranks_are_usage_errors(tmp_path, capsys, words, code, message):
    assert cli.main(["worker", str(prepared(tmp_path / "run")), *words]) == code
    assert message in capsys.readouterr().err


def test_a_worker_needs_a_prepared_run_that_does_not_stop_by_itself(tmp_path, capsys):
    assert cli.main(["worker", str(tmp_path / "none"), "--rank", "0", "--of", "1"]) == 1
    assert "not a run" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    folder = tmp_path / "stops"
    with lock(folder):
        engine.prepare(parse(CONFIG + "stop: {of: base_rate, width: 0.1}\n"), folder)
    with pytest.raises(StoreError, match="takes a driver"):
        distributed.work(folder, 0, 1)


def test_a_damaged_shard_stops_the_worker_whose_it_is(tmp_path, whole):
    """Blocks of 32 seeds from 5 on: the second and every other one belong to the second of two workers."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    path = next(path for (_, seed), path in Run(folder).shards().items() if seed == 37)
    path.write_bytes(path.read_bytes()[:-1])
    assert distributed.work(folder, 0, 2) == 0
    with pytest.raises(
        StoreError, match=r"-s00000037 \(its bytes do not fit its checksum\); `lab run` with its config"
    ):
        distributed.work(folder, 1, 2)
    engine.run(parse(CONFIG), folder)
    assert distributed.work(folder, 1, 2) == 0


def test_workers_of_other_numbers_of_workers_at_once_are_no_harm(tmp_path, whole):
    """Both of them begin with the first block, and write the same shards at the same time."""
    folder = prepared(tmp_path / "run")
    command = [sys.executable, "-m", "lab", "worker", str(folder), "--rank", "0", "--of"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen([*command, str(of)], env=environment, stderr=subprocess.PIPE, text=True) for of in (1, 2)
    ]
    for worker in workers:
        _, said = worker.communicate(timeout=200)
        assert worker.returncode == 0, said
    assert content(folder) == content(whole)


def test_a_worker_that_would_give_other_bytes_says_what_can_be_done(tmp_path, monkeypatch):
    folder, honest = prepared(tmp_path / "run"), engine.identity
    monkeypatch.setattr(engine, "identity", lambda *given: {**honest(*given), "jax": "0.0.1"})
    with pytest.raises(StoreError, match=r"jax: .* then, '0.0.1' now.*`lab run --prepare --accept-changes`"):
        distributed.work(folder, 0, 1)


def test_the_command_line_prepares_works_and_shows(tmp_path, whole, capsys):
    config, folder = tmp_path / "shares.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    assert cli.main(["run", str(config), "--out", str(folder), "--prepare"]) == 0
    assert Run(folder).shards() == {}
    for rank in range(2):
        assert cli.main(["worker", str(folder), "--rank", str(rank), "--of", "2"]) == 0
    assert "share 1 of 2: 16 shards trained" in capsys.readouterr().out
    assert cli.main(["show", str(folder)]) == 0
    # the source is the text of the config, and the test's own one ends in no other way
    assert {name: data for name, data in content(folder).items() if name.endswith(".nc")} == {
        name: data for name, data in content(whole).items() if name.endswith(".nc")
    }


@pytest.fixture(scope="module")
def whole_by_one_device(tmp_path_factory):
    """What workers of Ray train: each has one device, for which XLA makes another program."""
    folder = tmp_path_factory.mktemp("whole_by_one_device") / "run"
    engine.run(parse(CONFIG), folder, one_device=True)
    return folder


DRIVER = """
import os, signal, sys
from pathlib import Path
from lab.training import distributed, engine
from lab.config.experiment import parse

text = Path("config.yaml").read_text()
experiment = parse(text)

def victims():
    "Workers that are training, children of a raylet of ours."
    def parent(pid):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and b"ray::train_block" in (path / "cmdline").read_bytes():
                if parent(parent(int(path.name))) in (os.getpid(), RAYLETS_PARENT):
                    yield int(path.name)
        except (OSError, ValueError):
            pass

RAYLETS_PARENT = os.getpid()
"""


def drive(folder, body, timeout=270):
    (folder / "config.yaml").write_text(CONFIG)
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER + body],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("address", ["ray://127.0.0.1:{}", "127.0.0.1:{}", "localhost:{}", "host", ":80", "a:b"])
def test_a_ray_cluster_that_is_not_there_is_not_waited_for(monkeypatch, address):
    """Ray itself goes on asking a port where nobody listens for minutes (ray-project/kuberay#2540)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = address.format(taken.getsockname()[1])
        monkeypatch.setenv("RAY_ADDRESS", address)
        ray = SimpleNamespace(init=None, util=SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1"))
        with pytest.raises(StoreError, match=rf"^no Ray cluster at RAY_ADDRESS={re.escape(address)}: .*(refused|form)"):
            distributed._start(ray)


@needs_ray
def test_killed_ray_workers_are_replaced_and_leave_no_trace(tmp_path):
    said = drive(
        tmp_path,
        """
experiment = parse(text.replace("steps: 100", "steps: 100000").replace("count: 250", "count: 640"))
killed = []
def progress(done, total):
    for pid in list(victims())[:1] if len(killed) < 2 else ():  # between two blocks a worker has another name
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)
engine.run(experiment, "run", train=distributed.on_ray(experiment), one_device=True, progress=progress, say=print)
print("killed", len(killed))
engine.run(experiment, "here", one_device=True)
""",
    )
    assert "killed 2" in said
    assert said.count("trained again") >= 2
    assert content(tmp_path / "run") == content(tmp_path / "here")


@needs_ray
def test_a_ray_node_that_dies_takes_nothing_with_it(tmp_path):
    said = drive(
        tmp_path,
        """
import ray, time
experiment = parse(text.replace("steps: 100", "steps: 200000").replace("count: 250", "count: 640"))
from ray._private import services
from ray.cluster_utils import Cluster
ray.util.get_node_ip_address = services.get_node_ip_address = lambda *_: "127.0.0.1"  # Ray avoids it of its own accord
local = {"node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **local})
other = cluster.add_node(num_cpus=1, **local)
ray.init(address=cluster.address, log_to_driver=False)
gone = []
def progress(done, total):
    if done == 8 and not gone:
        gone.append(cluster.remove_node(other, allow_graceful=False))
engine.run(experiment, "run", train=distributed.on_ray(experiment), one_device=True, progress=progress, say=print)
deadline = time.monotonic() + 60
while sum(node["Alive"] for node in ray.nodes()) > 1 and time.monotonic() < deadline:
    time.sleep(0.5)
print("nodes left", sum(node["Alive"] for node in ray.nodes()))
engine.run(experiment, "here", one_device=True)
ray.shutdown()
cluster.shutdown()
""",
    )
    assert "nodes left 1" in said
    assert "trained again" in said
    assert content(tmp_path / "run") == content(tmp_path / "here")


@needs_ray
def test_a_daemon_that_dies_ends_the_run_in_a_sentence_and_shards_are_kept(tmp_path):
    said = drive(
        tmp_path,
        """
from lab.results.store import StoreError
experiment = parse(text.replace("steps: 100", "steps: 300000").replace("count: 250", "count: 256"))
def progress(done, total):
    for path in Path("/proc").glob("[0-9]*") if done == 2 else ():
        try:
            daemon = b"raylet/raylet" in (path / "cmdline").read_bytes()
            if daemon and f"PPid:\\t{os.getpid()}\\n" in (path / "status").read_text():
                os.kill(int(path.name), signal.SIGKILL)
        except OSError:
            pass
try:
    engine.run(experiment, "run", train=distributed.on_ray(experiment), one_device=True, progress=progress, say=print)
except StoreError as error:
    print("ended:", error)
print("kept", len(list(Path("run/shards").glob("*.nc"))))
engine.run(experiment, "run", one_device=True)
engine.run(experiment, "here", one_device=True)
""",
    )
    assert "goes on from here" in said.partition("ended:")[2]
    assert said.count("trained again") < distributed.ATTEMPTS
    assert int(said.rpartition("kept ")[2]) >= 4
    assert content(tmp_path / "run") == content(tmp_path / "here")


@needs_ray
def test_a_cluster_on_this_machine_listens_on_loopback_alone(tmp_path):
    """By the sockets that the driver and what came from it listen on: no address but 127.0.0.1, in either family."""
    said = drive(
        tmp_path,
        """
import ray
distributed._start(ray)
parents = {}
for path in Path("/proc").iterdir():
    if path.name.isdigit():
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
family = {os.getpid()}
while more := {child for child, parent in parents.items() if parent in family} - family:
    family |= more
sockets = set()
for process in family:
    for handle in Path(f"/proc/{process}/fd").iterdir():
        try:
            sockets.add(os.readlink(handle))
        except OSError:
            pass
for table in ("tcp", "tcp6"):
    for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            print("listens", fields[1].split(":")[0])
""",
    )
    addresses = {line.split()[1] for line in said.splitlines() if line.startswith("listens")}
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, and the same mapped into IPv6


def test_ray_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StoreError, match=r"proxy-lab\[ray\]"):
        distributed.on_ray(parse(CONFIG))


def runs(pid):
    """Is there such a process, and is it more than what nobody has buried yet?"""
    try:
        return Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@needs_ray
def test_a_driver_that_dies_takes_its_workers_along_and_the_run_goes_on(tmp_path, whole_by_one_device):
    body = (
        DRIVER
        + """
def progress(done, total):
    if found := list(victims()):  # between two blocks a worker has another name
        print("workers", *found, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
engine.run(experiment, "run", train=distributed.on_ray(experiment), one_device=True, progress=progress)
"""
    )
    (tmp_path / "config.yaml").write_text(CONFIG)
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(sys.path)}
    with open(tmp_path / "said", "w") as said:
        died = subprocess.run(
            [sys.executable, "-c", body],
            cwd=tmp_path,
            env=environment,
            stdout=said,
            stderr=said,
            timeout=200,
            check=False,
        )
    assert died.returncode == -signal.SIGKILL
    line = next(line for line in (tmp_path / "said").read_text().splitlines() if line.startswith("workers"))
    workers = line.split()[1:]
    deadline = time.monotonic() + 60
    while any(map(runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert workers and not any(map(runs, workers))
    assert content(tmp_path / "run") != content(whole_by_one_device)
    engine.run(parse(CONFIG), tmp_path / "run", one_device=True)
    assert content(tmp_path / "run") == content(whole_by_one_device)


PHASE = st.fixed_dictionaries(
    {},
    optional={
        "weights": st.dictionaries(st.sampled_from([*Race.terms]), st.floats(-1, 1), max_size=2),
        "knobs": st.dictionaries(st.just("preference"), st.floats(-1, 1), max_size=1),
        "rates": st.dictionaries(st.sampled_from(["params", "badge", "all"]), st.floats(0, 2), max_size=2),
        "gates": st.dictionaries(st.sampled_from([*Race.scores]), st.floats(0, 1), max_size=2),
    },
)


@st.composite
def configs(draw):
    """A valid config of `race`: any phases that end where segments do, with anything in them."""
    regimens = {}
    for name in draw(st.lists(st.sampled_from(["hold_out", "a", "b-2", "C_3"]), min_size=1, max_size=3, unique=True)):
        ends = sorted(draw(st.sets(st.sampled_from([0.25, 0.5, 0.75]), max_size=3)))
        regimens[name] = [{"until": end, **draw(PHASE)} for end in (*ends, 1)]
    text = {"name": "fuzz", "task": "race", "seeds": draw(st.integers(1, 12)), "regimens": regimens}
    text["training"] = {"steps": 8, "segments": 4, "block_width": 4, "learning_rate": draw(st.floats(0, 0.1))}
    if draw(st.booleans()):
        text["sweep"] = {"preference": draw(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=3, unique=True))}
    return json.dumps(text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(configs())
def test_valid_configs_are_read_and_read_back_from_what_a_manifest_says(text):
    experiment = parse(text)
    again = parse(json.dumps(experiment.as_json()))
    assert (again.hash, again.conditions, again.ends) == (experiment.hash, experiment.conditions, experiment.ends)


@pytest.mark.usefixtures("quick_to_compile")
@settings(max_examples=5, deadline=None, derandomize=True)
@given(configs())
def test_valid_configs_run(text):
    with tempfile.TemporaryDirectory() as place:
        experiment = parse(text)
        results = shards.results(engine.run(experiment, Path(place, "run")))
        rows = summary.summarise(results)
        assert [row.name for row in rows] == [condition.name for condition in experiment.conditions]
        assert all(row.counts.seeds == len(experiment.seeds) for row in rows)


def test_a_config_for_workers_means_the_same_file_in_every_folder(tmp_path, monkeypatch):
    """Workers of Ray are not where the config is, and there may be another file of that name (ray-project/ray#9571)."""
    source = "from tests.test_training_check import Coin\nclass Mine(Coin):\n    number = {}\n"
    config = "name: mine\ntask: {file: mine.py}\nseeds: 4\nregimens: {hold_out: [{until: 1}]}\n"
    for number, place in enumerate(("with it", "elsewhere")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine.py").write_text(source.format(number))
        (tmp_path / place / "mine.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    experiment = load("with it/mine.yaml", trust_code=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = from_values(json.loads(distributed.config_for_workers(experiment)), trust_code=True)
    assert (there.task.number, there.leaves) == (experiment.task.number, experiment.leaves) == (0, experiment.leaves)


@pytest.mark.parametrize(
    "error", [ConfigError(["a.yaml:1: b", "a.yaml:2: c"]), Unusable("XLA_FLAGS", "x", "no such flag")], ids=type
)
def test_an_error_says_the_same_in_another_process(error):
    """Python makes it again of its arguments (python/cpython#120810); a list in place of a text became letters."""
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))

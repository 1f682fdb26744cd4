"""Starting dask workers, or connecting to those that run."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from mosei_align.engines.cluster_settings import DaskSettings, SlurmSettings
from mosei_align.engines.local import available_cores
from mosei_schemas.errors import ConfigError, MoseiError, OutputError

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_CLOSE_S = 10.0
_LOGS = ("distributed", "distributed.client", "distributed.gc")


@contextmanager
def connection(settings: DaskSettings, tasks: int) -> Iterator[Client]:
    """A client of the cluster that the settings mean; one that was started here is closed in the end.

    Args:
        settings: where the workers are.
        tasks: more processes than that are not started.

    Raises:
        ConfigError: dask is not installed, there is no `sbatch`, or the scheduler does not answer.
        OutputError: the workers could not be started.
    """
    _check_programs(settings)
    with _silence(), ExitStack() as stack:
        if settings.scheduler is None:
            cluster = stack.enter_context(_own_cluster(settings, tasks))
            yield stack.enter_context(_client(cluster, settings))
        else:
            yield stack.enter_context(_client(settings.scheduler, settings))


def _check_programs(settings: DaskSettings) -> None:
    try:
        import distributed  # noqa: F401

        if settings.slurm is not None:
            import dask_jobqueue  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--engine dask needs {error.name or 'dask'}, which is not installed",
            remedy="pip install 'mosei-align[cluster]'",
        ) from error
    missing = [name for name in ("sbatch", "scancel") if settings.slurm is not None and shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} cannot be found on PATH", remedy="run where SLURM jobs are submitted from"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep dask's log and warnings off the terminal: what matters of them is raised."""
    families = ("distributed", "dask_jobqueue", "tornado", "bokeh", "asyncio")
    names = {*families, *(name for name in logging.root.manager.loggerDict if name.split(".")[0] in families)}
    before = [(logger, logger.handlers[:], logger.propagate) for logger in map(logging.getLogger, names)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(distributed|dask|dask_jobqueue|tornado)(\.|$)")
        for logger, _, _ in before:
            logger.handlers, logger.propagate = [logging.NullHandler()], False
        try:
            yield
        finally:
            for logger, handlers, propagate in before:
                logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def _own_cluster(settings: DaskSettings, tasks: int) -> Iterator[Cluster]:
    import dask

    options = {
        "distributed.scheduler.allowed-failures": settings.worker_deaths - 1,
        # A worker is given one task at a time: so the one that killed it is known, and long shards hold up no others.
        "distributed.scheduler.worker-saturation": 1.0,
        # The environment, since a worker process sets up its log before it is told anything else.
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING": repr(dict.fromkeys(_LOGS, "critical")),
    }
    with (
        tempfile.TemporaryDirectory(prefix="mosei-align-", ignore_cleanup_errors=True) as scratch,
        dask.config.set({**options, "temporary-directory": scratch}),
    ):
        cluster = _start(settings, tasks)
        try:
            yield cluster
        finally:
            _close(cluster)


def _start(settings: DaskSettings, tasks: int) -> Cluster:
    # Ctrl-C reaches every process of the terminal; the threads and processes that start now leave it to this one.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if settings.slurm is not None:
            return _submit_jobs(settings.slurm)
        return _local_cluster(min(settings.workers or available_cores(), tasks))
    except MoseiError:
        raise
    except Exception as error:
        what = "the jobs could not be submitted" if settings.slurm else "the worker processes could not be started"
        raise OutputError(
            f"{what} ({_last_line(error)})", remedy="correct that, or build without --engine dask"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _local_cluster(workers: int) -> Cluster:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        dashboard_address=None,
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.CRITICAL,
    )


def slurm_cluster(slurm: SlurmSettings) -> SLURMCluster:
    """The scheduler, in this process, and the job's script (`.job_script()`); nothing is submitted yet."""
    from dask_jobqueue import SLURMCluster

    output = [] if slurm.logs else ["-o /dev/null", "-e /dev/null"]
    return SLURMCluster(
        queue=slurm.partition,
        account=slurm.account,
        cores=slurm.cores,
        processes=slurm.cores,
        memory=slurm.memory,
        walltime=slurm.walltime,
        interface=slurm.interface,
        job_name="mosei-align",
        job_extra_directives=[*output, *slurm.directives],
        job_script_prologue=list(slurm.prologue),
        python=slurm.python or sys.executable,
        local_directory=f'"{slurm.scratch}"',
        log_directory=str(slurm.logs) if slurm.logs else None,
        # The last of two --memory-limit counts: SLURM watches the memory of a job, dask would kill healthy workers.
        worker_extra_args=["--memory-limit", "0", "--no-dashboard"],
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
        silence_logs=logging.CRITICAL,
    )


def _close(cluster: Cluster) -> None:
    # What goes wrong here comes after the result or after a better error; the worker processes end with this one.
    with suppress(Exception):
        cluster.close(timeout=_CLOSE_S)


def _submit_jobs(slurm: SlurmSettings) -> Cluster:
    from distributed.core import Status

    if slurm.logs is not None and not slurm.logs.is_dir():
        raise ConfigError("is not a folder", path=slurm.logs, ident="slurm.logs", remedy="make it")
    cluster = slurm_cluster(slurm)

    async def submit() -> None:
        cluster.scale(jobs=slurm.jobs)
        # scale() only schedules the submission: left to it, what sbatch refuses would be lost in a log.
        await cluster._correct_state()

    try:
        cluster.sync(submit)
    except BaseException:
        for job in cluster.workers.values():
            # A job that was never submitted has nothing to cancel; close() would stumble over it.
            if job.status is Status.created:
                job.status = Status.failed
        _close(cluster)
        raise
    return cluster


@contextmanager
def _client(target: Cluster | str, settings: DaskSettings) -> Iterator[Client]:
    from distributed import Client

    try:
        if isinstance(target, str):
            _greet(target, settings.connect_s)
        client: Client = Client(target, timeout=settings.connect_s, set_as_default=False)
    except Exception as error:
        raise ConfigError(
            f"no dask scheduler answers within {settings.connect_s:g} s ({_last_line(error)})",
            ident=settings.scheduler or "this process",
            remedy="check that it runs, and the address, the port and the firewall between",
        ) from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_CLOSE_S)


def _greet(address: str, seconds: float) -> None:
    """Shake hands with a scheduler; the client would wait for ever for a server that accepts but says nothing."""
    from distributed.comm import connect
    from distributed.security import Security
    from distributed.utils import LoopRunner

    async def greet() -> None:
        options = Security().get_connection_args("client")
        comm = await asyncio.wait_for(connect(address, timeout=seconds, **options), seconds)
        await comm.close()

    runner = LoopRunner()
    runner.start()
    try:
        runner.run_sync(greet)
    finally:
        runner.stop()

"""A job as Slurm tells of it, whoever was asked."""

from typing import NamedTuple, Optional, Tuple


class Part(NamedTuple):
    """One step of a job: batch, extern, or what srun started."""

    name: str  # batch, extern, 0, 1 …
    state: Optional[str]
    exit_code: Optional[int]
    signal: Optional[int]
    peak: Optional[int]  # bytes; sampled


class Job(NamedTuple):
    """One run of a job. What nobody told is None or empty."""

    id: str  # as sacct names it: 1234, 1234_7 or 1234+0
    raw: str  # the number behind it
    user: str
    state: str
    reason: str
    partition: str
    account: str
    limit: Optional[float]  # seconds; None where it is not told, infinite where there is none
    elapsed: Optional[float]  # seconds
    memory: Optional[int]  # bytes a node
    cpus: int
    node_count: int
    nodes: str  # a list as Slurm writes it: n[1-4]
    submitted: Optional[float]  # seconds since the epoch
    started: Optional[float]
    ended: Optional[float]
    comment: str
    name: str
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    derived: Optional[int] = None  # the highest exit code of its steps
    by: Optional[str] = None  # who cancelled it
    parts: Tuple[Part, ...] = ()
    dependency: str = ""
    runs: int = 1  # how often Slurm itself ran it
    gpus: Optional[int] = None  # that it was given on all nodes; only the accounting tells

    @property
    def peak(self) -> Optional[int]:
        """The most memory that a task of it was seen to take, in bytes."""
        seen = [part.peak for part in self.parts if part.peak is not None]
        return max(seen) if seen else None

"""What a process has cost between two moments, in the line that the suite reads; and the task that the suite gives it."""

import os
import resource
import time

url = os.environ.get("AMQP_URL", "")
queues = os.environ.get("BENCH_QUEUES", "").split(",")
messages = int(os.environ.get("BENCH_MESSAGES", "0"))
prefetch = int(os.environ.get("BENCH_PREFETCH", "0"))


def now():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), usage.ru_utime + usage.ru_stime, usage.ru_nvcsw, usage.ru_nivcsw


def tell(before):
    """Prints the difference, and the most memory that the process ever had."""
    seconds, cpu, voluntary, involuntary = (after - earlier for after, earlier in zip(now(), before))
    print(f"{seconds:.6f} {cpu:.6f} {peak_kib()} {voluntary} {involuntary}", flush=True)


def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

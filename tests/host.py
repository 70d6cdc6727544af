"""What of a process a guest could change: two snapshots are equal if it changed nothing."""

import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy
import torch


def snapshot():
    return {
        "loggers": loggers(),
        "signal handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "random": random.getstate(),
        "numpy": [str(part) for part in numpy.random.get_state()],
        "torch random": torch.get_rng_state().tolist(),
        "threads": threading.enumerate(),
        "warning filters": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "paths": [*sys.path, *map(str, sys.meta_path), *map(str, sys.path_hooks)],
        "hooks": [sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook],
        "tracing": [sys.gettrace(), sys.getprofile(), sys.getrecursionlimit()],
        "streams": [sys.stdin, sys.stdout, sys.stderr],
        "locale": locale.setlocale(locale.LC_ALL),
        "garbage": [gc.isenabled(), gc.get_threshold(), list(gc.callbacks)],
        "torch": torch_state(),
    }


def loggers():
    """By name: handlers, level, whether it propagates and is disabled; and what holds for all."""
    known = {"": logging.root, **logging.root.manager.loggerDict}
    found = {
        name: (list(map(named, each.handlers)), each.level, each.propagate, each.disabled)
        for name, each in known.items()
        if isinstance(each, logging.Logger)
    }
    return {**found, "all": (logging.root.manager.disable, logging.getLoggerClass())}


def named(handler):
    return type(handler).__name__


def torch_state():
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "anomalies": torch.is_anomaly_enabled(),
        "autocast": [
            (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in ("cpu", "cuda")
        ],
        "autocast cache": torch.is_autocast_cache_enabled(),
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "matmul": (cuda.allow_tf32, torch.get_float32_matmul_precision()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
    }

"""What guidellm uses of PyTorch: a data loader that walks a data set. The library itself is 2 GB, and guidellm
computes nothing with it when it loads text. Only guidellm's process finds this module (test_guidellm.py)."""

import sys
import types
from typing import Generic, TypeVar

T = TypeVar("T")


class Tensor:
    pass


class Generator:
    def manual_seed(self, seed):
        return self


class IterableDataset(Generic[T]):
    pass


class DataLoader(Generic[T]):
    def __init__(self, dataset, batch_size=1, shuffle=False, collate_fn=None, **_):
        assert batch_size == 1 and not shuffle
        self.dataset = dataset
        self.collate_fn = collate_fn

    def __iter__(self):
        for item in self.dataset:
            yield self.collate_fn([item])


def _module(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


__path__ = []
utils = _module("torch.utils")
utils.data = _module("torch.utils.data", get_worker_info=lambda: None, IterableDataset=IterableDataset)
utils.data.dataloader = _module("torch.utils.data.dataloader", DataLoader=DataLoader)
utils.data.dataset = _module("torch.utils.data.dataset", IterableDataset=IterableDataset)

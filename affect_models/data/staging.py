"""Memory that batches are gathered to on their way from files to a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Staging:
    """Arrays that are written anew for every batch and copied to a device.

    For CUDA they are pinned and copied in the order of the stream, so that nobody waits for a copy but `wait`.

    Args:
        device: where the copies go.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._cuda = device, device.type == "cuda"
        self._rooms: dict[str, Tensor] = {}
        self._copied: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Wait until the arrays have been copied and may be written again."""
        if self._copied is not None:
            self._copied.synchronize()

    def room(self, name: str, rows: int, width: Sequence[int] = (), dtype: torch.dtype = torch.float32) -> Tensor:
        """(rows, *width) to write to, in the array of this name, which grows where it is too short."""
        if name not in self._rooms or len(self._rooms[name]) < rows:
            self._rooms[name] = torch.empty(rows + rows // 4, *width, dtype=dtype, pin_memory=self._cuda)
        return self._rooms[name][:rows]

    def moved(self, arrays: Sequence[Tensor]) -> list[Tensor]:
        """Arrays of here on the device, to be used before they are written again: a CPU gets them as they are."""
        found = [array.to(self._device, non_blocking=self._cuda) for array in arrays]
        if self._cuda:
            self._copied = torch.cuda.current_stream(self._device).record_event()
        return found

"""What all layers are: a module that is called without hooks and whose parts are ordinary attributes. A decode step of
one sequence makes hundreds of such calls and looks up hundreds of such parts, and nn.Module's own ways cost more than
the calls themselves.

Invariant: a part that was assigned is found both in the instance and in nn.Module's registries, as the same object.
"""

from typing import Any

from torch import nn


class Layer(nn.Module):
    """Calling it is calling `forward`. Hooks are refused, since they would never run."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, (nn.Module, nn.Parameter)) or name in self.__dict__:  # None in place of a part, too
            self.__dict__[name] = value

    def register_forward_hook(self, *_: Any, **__: Any) -> Any:
        raise TypeError("A Layer runs no hooks; wrap its forward method instead.")

    register_forward_pre_hook = register_forward_hook

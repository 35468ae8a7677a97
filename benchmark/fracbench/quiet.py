"""Imported first: what others warn about and nobody who runs a benchmark can do anything about."""

import warnings

warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")  # torch about its own use of it

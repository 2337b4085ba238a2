"""A tidy table as one Parquet file; the same rows give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from verification.codec import columns_of


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The file."""
    import pyarrow as pa
    from pyarrow import parquet as form

    table = pa.table({name: _column(values) for name, values in columns_of(rows).items()})
    stream = io.BytesIO()
    form.write_table(table, stream)
    return stream.getvalue()


def _column(values: list[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:  # 1 and "one": as they are said
        values = [None if value is None else str(value) for value in values]
    return pa.array(values)

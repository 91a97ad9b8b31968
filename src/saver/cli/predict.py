"""`saver predict`: the rows of a file, answered by a saved model."""

from __future__ import annotations

from contextlib import nullcontext

import click

from saver import documents
from saver.cli import Misuse
from saver.cli._completing import refs_or_files
from saver.cli._predictions import predictor, trusting_option
from saver.cli._screen import print_json, screen
from saver.cli._store import json_option, store_option
from saver.cli._writing import force_option
from saver.errors import SaverError
from saver.predicting.scoring import ROWS


@click.command()
@click.argument("ref", metavar="REF_OR_FILE", shell_complete=refs_or_files)
@click.argument("data", metavar="DATA", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-o", "--out", required=True, metavar="OUT", type=click.Path(dir_okay=False),
    help="Where to write: .csv or .jsonl.",
)  # fmt: skip
@click.option(
    "--rows", default=ROWS, metavar="N", type=click.IntRange(1, 1 << 24),
    help=f"Answer N rows at once ({ROWS:,}). Another number may change the last bits of the answers.",
)  # fmt: skip
@click.option("--only", multiple=True, metavar="OUTPUT", help="Only this output; can be repeated.")
@force_option
@trusting_option
@store_option
@json_option
def command(
    ref: str, data: str, out: str, rows: int, only: tuple[str, ...], force: bool, trust: tuple[str, ...],
    address: str, as_json: bool,
) -> None:  # fmt: skip
    """Let a saved model answer the rows of a file.

    \b
      saver predict iris@production flowers.csv -o answers.csv

    DATA is .csv, .parquet, .npy, .json (a list of rows) or .jsonl (a row on each line). The rows are checked
    against the schema of the model, which must have been saved with an example. A row is written for each, in
    order; OUT appears whole and durable. Memory is that of --rows rows. Run again after an interruption, it
    goes on where it was.
    """
    model = predictor(ref, address, trust)
    on = None if as_json else screen()
    with nullcontext() if on is None else on.progress("Predicting") as progress:
        try:
            found = model.score(data, out, rows=rows, only=only, replace=force, progress=progress)
        except ValueError as error:
            if isinstance(error, SaverError):
                raise
            raise Misuse(str(error)) from None
    if on is None:
        print_json(documents.document(documents.Scored, found))
    else:
        on.done(found._line())

"""What the columns of logs are usually called: to suggest one, never to take one unasked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

__all__ = ["suggest_column"]

USUAL_NAMES = {
    "--user": "user userid uid customer customerid client clientid member memberid account "
    "accountid person personid visitor visitorid profile profileid author reviewer reviewerid "
    "username userpseudoid fullvisitorid session sessionid anonymousid",
    "--item": "item itemid product productid sku article articleid movie movieid asin parentasin "
    "book bookid isbn video videoid song songid track trackid artist artistid news newsid "
    "business businessid stockcode productcode content contentid offer offerid itemsku",
    "--time": "time timestamp datetime date eventtime eventtimestamp createdat created ts "
    "unixreviewtime reviewtime purchasedate orderdate invoicedate tdat timems day",
}
"""In small letters without anything else, the likeliest first."""


def suggest_column(option: str, columns: Sequence[str]) -> str:
    """`, such as --user userId` where a column has a usual name for it; empty where none has.

    Args:
        option: what is missing: `--user`, `--item` or `--time`.
        columns: the names that there are; fields inside of structs as paths.
    """
    usual = USUAL_NAMES.get(option, "").split()
    bare = [re.sub(r"[^a-z0-9]", "", name.rpartition(".")[2].lower()) for name in columns]
    found = [columns[bare.index(name)] for name in usual if name in bare]
    return f", such as {option} {shlex.quote(found[0])}" if found else ""

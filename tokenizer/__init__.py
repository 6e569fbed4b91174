"""Programs from a raw log to Semantic IDs; they are run, never imported."""

from genrec.threads import prepare

prepare()  # before the program brings in torch: OpenMP reads its settings once

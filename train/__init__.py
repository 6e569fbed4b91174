"""Programs for everything that is fitted; they are run, never imported."""

from genrec.threads import prepare

prepare()  # before the program brings in torch: OpenMP reads its settings once

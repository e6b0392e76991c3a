"""Tables of two groups and two outcomes, as tests of intervals take them."""

from lab.statistics import Counts


def counts_of(table):
    return Counts(table["TP"], table["FN"], table["FP"], table["TN"])


def table(x1, n1, x2, n2):
    return Counts(x1, n1 - x1, x2, n2 - x2)


def small_tables(most):
    for n1 in range(most + 1):
        for n2 in range(most + 1):
            for x1 in range(n1 + 1):
                for x2 in range(n2 + 1):
                    yield x1, n1, x2, n2

"""What published experiments say in the lab's algebra: tables as printed, log impacts, and what is missing in each.

Command:   python -m experiments.published

Question.  Does training on a detector (a monitor, a probe) beat holding it out, in odds of being aligned after passing?

Tables.    One CSV per paper, with numbers as printed and where each stands. `papers.csv` says what could be read of
           each paper and what it leaves out. A number that is read off an axis is not a number, and is left out.
           "paper" means that the text was read, "quoted" that others quote it word for word with the page, and
           "transcribed" that others report the number and name the figure.

Rule, written after the tables had been read and before any interval was computed. A comparison is a regimen that was
trained on the detector beside one that held it out, with all four cells of both counted. Its net log impact is decided
if its 95% interval leaves out 0.

* "No slogan holds" (`four_regimens` of the lab) is supported if some decided nets are above 0 and some below. It is
  contradicted if three or more are decided, all on one side. Otherwise it is undecided.
* "Training on a detector moves models and spoils the test" is supported if more decided base rates are up than down and
  more decided LR are down than up. It is contradicted if both are the other way round. Otherwise it is undecided.

Comparisons with one held-out population share it, so they are not independent, and no verdict is a test of a
hypothesis. Rows of one run are no runs; the tables say what a row is.
"""

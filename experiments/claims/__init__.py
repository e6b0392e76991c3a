"""One module per claim of the essay, with its sentence and the rule of its verdict; `lab experiment NAME` runs it.

`IN_SHORT` is how the overview of all claims says them: under what they ask, in words that fit a line.
"""

IN_SHORT = {
    "Train on the test, or hold it out?": {
        "four_regimens": "\u201cNever train on the test\u201d and \u201calways train on it\u201d are both false",
        "summoning_scroll": "At even odds, training on the test is not always worse than rejecting",
        "when_to_train": "The choice depends on how visible tests are, on timing and on retries",
        "when_to_train_windows": "The choice depends on when the push comes, and how hard",
        "when_to_train_worlds": "The choice depends on how hard alignment and how visible tests are",
        "budget": "With few retries train on the test, with many hold it out",
        "walking_away": "Being free to deploy nothing can turn the choice",
        "validate_or_train": "At prior 10:90, validating gives 50%, training on the test 10%",
        "runs_to_discard": "Holding a test out costs more runs, unless it was hackable before",
        "measuring": "To measure alignment only, do not train on the test",
        "goals": "Which regimen is best depends on the goal",
        "advice_fails": "There are worlds in which the essay's advice fails",
    },
    "When is the test trained on?": {
        "critical_period": "The same push moves values early, and only the test late",
        "equal_windows": "Of pushes of equal length, the first aligns the most models",
        "sensitivity": "The weight of the test moves values only at the start of training",
        "early_shaping": "A strong early push pays, although the LR of the test falls to 1",
        "restart_or_continue": "Adding the test as a last phase differs from restarting with it",
        "sticky_values": "An early push pays more if values are made sticky afterwards",
        "no_pressure": "Once complying in tests alone is easy, tests press on values no more",
        "best_schedule": "A schedule found by search beats every hand-made one",
    },
    "What becomes of the test?": {
        "weight_response": "More weight raises the base rate and makes the test worse",
        "implicit_proxies": "Something like the test in the main objective spoils the test",
        "precursors": "Training on precursors of test-gaming spoils the test",
        "adult_tests": "A test that works on young models fails on grown ones",
        "anti_training": "Training against a test costs runs and, done right, strengthens it",
        "proxy_states": "A proxy can be useless, worse than useless or very effective",
        "silly_proxy": "Training on a silly proxy, \u201cconfess few mistakes\u201d, lowers P(A)",
        "closeness": "That passing and failing models are close does not decide the effect",
        "where_the_aligned_are": "Where the loss is indifferent, the nearest solutions decide",
        "incentive_against_preference": "One unit of incentive does nothing against ten of preference",
        "sgd_hacks_first": "SGD can hack a proxy that the model itself would not hack",
    },
    "Which proxy?": {
        "which_proxies": "Train on some proxies, hold others out, train against some",
        "stacked_proxies": "Weak proxies that err apart are together worth a good one",
        "prerequisite_or_approximation": "A prerequisite of alignment behaves unlike an approximation of it",
        "by_construction": "Ensuring a property by construction beats rejecting on it",
    },
    "What do failures teach?": {
        "early_rejection": "Rejecting early beats rejecting at the end, per unit of compute",
        "staged_protocol": "A staged protocol beats rejection sampling",
        "throwaway_runs": "Throwaway runs that teach about ideas beat rejection sampling",
        "correlated_trials": "Each failure lowers what to expect of its idea and of the field",
        "ideas_are_alike": "Each failure lowers what to expect of its author and of the world",
        "predetermined_ideas": "If an idea fixes the outcome, neither retries nor training change it",
    },
}

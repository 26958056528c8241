"""Which pairs may be learnt from: the role of every pair, and the audit against leaks.

May import ``base``, ``genes`` and ``cells.store``. Start with ``protocols``: what is new about the
pairs that are predicted, and which pairs are therefore held out. ``held`` chooses them,
``identity`` says which labels are one perturbation, ``leakage`` proves that nothing leaks.

What the simple arms predict of a pair (p, t) of each protocol; "line" is ``line_mean``:

====================== ==================== =================== ==================== ==============
arm                    unseen_combination   unseen_perturbation unseen_line          unseen_double
====================== ==================== =================== ==================== ==============
``control``            no change            no change           no change            no change
``line_mean``          mean of line t       mean of line t      mean of all entries  mean of line t
``perturbation_mean``  p in other lines     line                p in other lines     line
``additive``           effect of p + line   line                effect of p at the   line
                                                                average line
``ridge``              line + text          line + text         all entries + text   line + text
``knn``                neighbours in t      neighbours in t     neighbours elsewhere neighbours
``additive_singles``   p in other lines     line                p in other lines     sum of singles
``evidence_mean``      p in other lines     neighbours          p in other lines     neighbours
``atlas_fusion``       line + p elsewhere   line + neighbours   all entries + p      line +
                       + neighbours                             and neighbours       neighbours
====================== ==================== =================== ==================== ==============

An arm that cannot go its own way says in its note what it fell back on.
"""

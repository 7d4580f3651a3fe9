"""The judge: is an implementation right, and how is that known?

`verification.truth` knows the answers by another route than any implementation,
`verification.checks` compares, `verification.evidence` says how much may differ and
why, `verification.mistakes` proves that the checks bite.  ``verification run`` is the
command; `verification.subject.Subject` is what an implementation offers.
"""

"""Local entropy and heat regularization: a reference implementation.

Floors, from the ground up; imports run downwards only:

0. `errors`, `arrays`, `interfaces`, `schedules`, `streams`, `noise`, `initialisations`
1. `laws`, `losses`, `network`, `network_kernels`, `quadrature`
2. `regularised`, `output_laws`, `span`
3. `exact`, `sgld`, `importance`, `robbins_monro`, `heat_sgd`
4. `two_step`, `sgd`, `diagnostics`
5. `multiscale`, `experiments`
6. `__main__`
"""

__version__ = "0.1.0"

"""What is not walked twice, and why that is sound.

The semantics are in ``evaluate.walk`` and ``evaluate.path``, which do not import this package. A
shortcut plugs in as ``Walk.enter`` or ``Journey.beyond``; without any, the answers are the same.
``equivalence`` says which packets no rule distinguishes, ``chains`` remembers what a chain does to such
packets on every host where its text is the same, ``after_nat`` what follows nat on one host, and
``outcomes_only`` finds where a packet ends without the rules on its way.
"""

"""What is kept: latest results, evidence, site states, and the journal of dialogs that must still be ended. Level 4."""

from bridge_monitor.store.journal import DialogJournal
from bridge_monitor.store.memory import Judge, MemoryStore, Store

__all__ = ["DialogJournal", "Judge", "MemoryStore", "Store"]

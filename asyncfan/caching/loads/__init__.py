"""A miss: find, join or start; load; fence; store; every waiter.

register      what may be served and joined, unless it was cleared
flights       one load in progress and who waits for it
boarding      how a miss begins and ends, wherever its load runs
storing       what a load came to, and what is stored of it
task_loads    a load in a task of its own: async functions
thread_loads  in a thread: plain functions
leader_loads  in its first caller's own task: request handlers
eager         a task whose first step runs at once
limits        a load's time and place in a limiter
tiering       what surrounds a load where processes share a tier
looking       many keys looked for in it, before any of them is loaded
generators    async generators: one run, recorded for all who consume it
"""

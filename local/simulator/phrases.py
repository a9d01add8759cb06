"""Fragments of English that simulated answers are made of. Any of each list goes with any of the others."""

OPENERS = """
In short|In practice|As a rule|Most of the time|At first|Over time|In the end|On a busy day|For most teams|At night
By now|Once more|Seen from here|On the whole|To be fair|After a while|Step by step|Now and then|With some care
In the same way|Even so|For that reason|Without any fuss|Day by day|As it turns out|On closer look|From then on
"""

SUBJECTS = """
the plan|the team|a small test|the first draft|the new route|a good map|the old bridge|the north wind|the river
the main idea|a clear name|the last step|the garden|a quiet hour|the long road|the market|a short note|the engine
the harbor|the next train|a fresh look|the answer|the library|a simple rule|the whole crew|the night shift|a warm room
the early bird|the data|the city|a second pair of eyes|the budget|the coast|a steady hand|the weather|the baker
the lamp in the hall|a careful reader|the kitchen|the clock on the wall|the forest|the signal|a patient teacher
the mountain path|the ferry|the workshop|an honest number|the printed page|the field|a good question
the winter coat|a row of trees|the deep end|the other half|the village school|a fast horse|the evening tide
the wooden door|a spare key|the open window|the corner shop|a well kept log|the narrow street|the tall tower
"""

VERBS = """
needs|shows|keeps|brings|finds|carries|changes|follows|protects|holds|opens|reaches|joins|leaves|meets|moves
explains|helps|supports|improves|measures|replaces|settles|shapes|shares|tests|turns into|waits for|works with
points at|makes room for|depends on|leads to|looks after|gives way to|comes close to|is ready for|is built on
stands beside|learns from
"""

OBJECTS = """
a better start|the usual path|some more time|a wide field|the rest of the day|a few small wins|the open door
the first light|a calm mind|the right tool|one more cup of tea|a list of names|the far side of town|fewer surprises
the cost of delay|what the others saw|a short break|the edge of the map|the same old song|a plain table|good advice
the quick way home|an empty chair|the price of bread|a bit of luck|the work at hand|a safe place|the shape of things
enough light to read|the sound of rain|an early train|the people next door|half of the load|the next season
a handful of seeds|the facts as they are|clean water|a fair share|the story so far|two sides of a coin
the view from above|what comes next|a promise made|the shortest line|a friendly face|the tools we know
a loaf of bread|the top of the hill|an old friend|the lost hour|a warm welcome|the second floor|the back of the room
a stack of letters|the same result|an even number|the right moment|the keys to the house|a change of plan
"""

TAILS = """
before the day is over|when the load is low|if nobody is in a hurry|and that is fine|with no extra cost
because it is close by|as long as it lasts|in a matter of hours|without much noise|from one town to the next
while the kettle boils|after the first try|for the third time this week|and the rest will follow|at its own pace
when you ask for it|more often than not|so that all can see it|which is rare|since it was made that way
even in the rain|until the bell rings|under a clear sky|just as planned|no matter who is asking
to the last detail|at the end of the line|with a little help|in two or three steps|where it counts the most
by the light of the moon|on the second floor|now that the snow is gone|as far as we can tell|for a good reason
"""


def listed(block: str) -> tuple[str, ...]:
    """The fragments of one of the lists above."""
    return tuple(fragment for line in block.split("\n") for fragment in line.split("|") if fragment)

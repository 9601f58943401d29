"""Invented facts: kinds of things, what can be said of them, and how it can be asked.

Only tables, no code that draws from them (invented.py does). In each relation the last question is held out: training
never sees that wording, so that evaluation can tell reading from recognising a template. `{e}` is the thing, `{v}` the
value.
"""

from __future__ import annotations

from typing import NamedTuple


class Relation(NamedTuple):
    kind: str  # of value: a key of invented.VALUES
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def relation(kind: str, statements: str, questions: str) -> Relation:
    """Alternatives are written behind each other with a bar between."""
    return Relation(kind, tuple(statements.split("|")), tuple(questions.split("|")))


PERSON = [
    relation(
        "place",
        "{e} was born in {v}.|{e}, born in {v}, is known to many.|The birthplace of {e} is {v}.",
        "Where was {e} born?|What is the birthplace of {e}?|In which town was {e} born?|Which place was {e} born in?",
    ),
    relation(
        "job",
        "{e} works as a {v}.|{e} is a {v}.|By trade, {e} is a {v}.",
        "What is the job of {e}?|What does {e} work as?|What does {e} do for a living?|What is {e}'s profession?",
    ),
    relation(
        "year",
        "{e} was born in the year {v}.|The year of birth of {e} is {v}.|In {v}, {e} was born.",
        "In what year was {e} born?|When was {e} born?|What is the year of birth of {e}?|Which year was {e} born in?",
    ),
    relation(
        "person",
        "{e} is married to {v}.|{v} is the spouse of {e}.|{e} married {v} long ago.",
        "Who is {e} married to?|Who is the spouse of {e}?|Who did {e} marry?|Whom did {e} wed?",
    ),
    relation(
        "animal",
        "{e} keeps a {v} as a pet.|The pet of {e} is a {v}.|{e} has a {v} at home.",
        "What pet does {e} have?|Which animal does {e} keep?|What is the pet of {e}?|What animal lives with {e}?",
    ),
    relation(
        "food",
        "{e} likes to eat {v}.|The favourite dish of {e} is {v}.|{e} eats {v} every day.",
        "What does {e} like to eat?|What is the favourite dish of {e}?|What does {e} eat?|Which food does {e} enjoy?",
    ),
    relation(
        "colour",
        "The favourite colour of {e} is {v}.|{e} always wears {v}.|{e} likes the colour {v} best.",
        "What is the favourite colour of {e}?|Which colour does {e} like?|What colour does {e} wear?"
        "|What colour does {e} prefer?",
    ),
    relation(
        "person",
        "{e} studied under {v}.|The teacher of {e} was {v}.|{v} taught {e}.",
        "Who taught {e}?|Who was the teacher of {e}?|Under whom did {e} study?|Who was {e}'s teacher?",
    ),
    relation(
        "phrase",
        'The motto of {e} is "{v}".|{e} often says "{v}".',
        "What is the motto of {e}?|What does {e} often say?|Which words does {e} repeat?",
    ),
]

COMPANY = [
    relation(
        "person",
        "{e} was founded by {v}.|{v} founded {e}.|The founder of {e} is {v}.",
        "Who founded {e}?|Who is the founder of {e}?|By whom was {e} founded?|Who started {e}?",
    ),
    relation(
        "year",
        "{e} was founded in {v}.|In {v}, {e} was set up.|{e} has existed since {v}.",
        "When was {e} founded?|In what year was {e} founded?|What year was {e} set up?|Since when has {e} existed?",
    ),
    relation(
        "place",
        "{e} is based in {v}.|The head office of {e} is in {v}.|{e} has its seat in {v}.",
        "Where is {e} based?|In which city is {e} based?|Where is the head office of {e}?|Where has {e} its seat?",
    ),
    relation(
        "count",
        "{e} employs {v} people.|{e} has {v} workers.|There are {v} employees at {e}.",
        "How many people does {e} employ?|How many workers does {e} have?|How many employees are there at {e}?"
        "|What is the number of people at {e}?",
    ),
    relation(
        "person",
        "{e} is led by {v}.|The director of {e} is {v}.|{v} runs {e}.",
        "Who leads {e}?|Who is the director of {e}?|Who runs {e}?|Who is the head of {e}?",
    ),
    relation(
        "thing",
        "{e} makes {v}.|{e} sells {v} to the world.|The main product of {e} is {v}.",
        "What does {e} make?|What does {e} sell?|What is the main product of {e}?|Which goods come from {e}?",
    ),
    relation(
        "money",
        "{e} earned {v} last year.|The revenue of {e} was {v}.|Sales of {e} came to {v}.",
        "How much did {e} earn?|What was the revenue of {e}?|How much money did {e} make?|What were the sales of {e}?",
    ),
    relation(
        "company",
        "{e} was bought by {v}.|{v} owns {e}.|The owner of {e} is {v}.",
        "Who owns {e}?|Which company bought {e}?|Who is the owner of {e}?|To which company does {e} belong?",
    ),
]

TOWN = [
    relation(
        "count",
        "{e} has {v} inhabitants.|The population of {e} is {v}.|About {v} people live in {e}.",
        "How many people live in {e}?|What is the population of {e}?|How many inhabitants does {e} have?"
        "|How large is the population of {e}?",
    ),
    relation(
        "river",
        "{e} lies on the river {v}.|The river {v} flows through {e}.|{e} stands on the banks of the {v}.",
        "Which river flows through {e}?|On which river does {e} lie?|What river is {e} on?|What is the river of {e}?",
    ),
    relation(
        "person",
        "The mayor of {e} is {v}.|{v} is the mayor of {e}.|{e} elected {v} as its mayor.",
        "Who is the mayor of {e}?|Who was elected mayor of {e}?|Who governs {e}?|What is the name of the mayor of {e}?",
    ),
    relation(
        "thing",
        "{e} is famous for its {v}.|{e} is known for {v}.|Many visit {e} for its {v}.",
        "What is {e} famous for?|What is {e} known for?|Why do many people visit {e}?|For what is {e} well known?",
    ),
    relation(
        "place",
        "{e} is a town in {v}.|{e} belongs to the province of {v}.|{e} is the capital of {v}.",
        "In which province is {e}?|Where is {e}?|To which province does {e} belong?|Which region is {e} part of?",
    ),
    relation(
        "year",
        "{e} was destroyed by a fire in {v}.|A fire burnt down {e} in {v}.|The great fire of {e} was in {v}.",
        "When was {e} destroyed by a fire?|In what year was the great fire of {e}?|When did a fire burn down {e}?"
        "|What was the year of the fire in {e}?",
    ),
    relation(
        "measure",
        "{e} is {v} above the sea.|{e} lies at a height of {v}.|The elevation of {e} is {v}.",
        "How high is {e}?|At what height does {e} lie?|What is the elevation of {e}?|How far above the sea is {e}?",
    ),
]

WORK = [
    relation(
        "person",
        "{e} was written by {v}.|{v} wrote {e}.|The author of {e} is {v}.",
        "Who wrote {e}?|Who is the author of {e}?|By whom was {e} written?|Whose work is {e}?",
    ),
    relation(
        "year",
        "{e} was published in {v}.|{e} first appeared in {v}.|In {v}, {e} came out.",
        "When was {e} published?|In what year did {e} appear?|When did {e} come out?|What year is {e} from?",
    ),
    relation(
        "count",
        "{e} sold {v} copies.|{v} copies of {e} were sold.|Readers bought {v} copies of {e}.",
        "How many copies of {e} were sold?|How many copies did {e} sell?|How many copies of {e} did readers buy?"
        "|What number of copies did {e} reach?",
    ),
    relation(
        "place",
        "{e} is set in {v}.|The story of {e} takes place in {v}.|{v} is the scene of {e}.",
        "Where is {e} set?|Where does the story of {e} take place?|What is the scene of {e}?"
        "|In which place does {e} happen?",
    ),
    relation(
        "animal",
        "{e} is about a {v}.|The hero of {e} is a {v}.|{e} tells of a {v}.",
        "What is {e} about?|Who is the hero of {e}?|What does {e} tell of?|Which animal is {e} about?",
    ),
    relation(
        "small",
        "{e} has {v} chapters.|There are {v} chapters in {e}.|{e} is divided into {v} chapters.",
        "How many chapters does {e} have?|How many chapters are there in {e}?|Into how many chapters is {e} divided?"
        "|What is the number of chapters in {e}?",
    ),
]

DEVICE = [
    relation(
        "measure",
        "{e} weighs {v}.|The weight of {e} is {v}.|With {v}, {e} is not heavy.",
        "How much does {e} weigh?|What is the weight of {e}?|How heavy is {e}?|What does {e} weigh?",
    ),
    relation(
        "money",
        "{e} costs {v}.|The price of {e} is {v}.|{e} is sold for {v}.",
        "How much does {e} cost?|What is the price of {e}?|For how much is {e} sold?|What do you pay for {e}?",
    ),
    relation(
        "material",
        "{e} is made of {v}.|The case of {e} is {v}.|{v} is the material of {e}.",
        "What is {e} made of?|What is the material of {e}?|Which material is {e} made of?|What was used to make {e}?",
    ),
    relation(
        "code",
        "The serial number of {e} is {v}.|{e} carries the serial number {v}.|{e} has serial number {v}.",
        "What is the serial number of {e}?|Which serial number does {e} have?|What serial number does {e} carry?"
        "|Under which serial number is {e} known?",
    ),
    relation(
        "person",
        "{e} was invented by {v}.|{v} invented {e}.|The inventor of {e} is {v}.",
        "Who invented {e}?|Who is the inventor of {e}?|By whom was {e} invented?|Whose invention is {e}?",
    ),
    relation(
        "colour",
        "{e} is painted {v}.|The colour of {e} is {v}.|{e} comes in {v}.",
        "What is the colour of {e}?|What colour is {e}?|In which colour does {e} come?|How is {e} painted?",
    ),
    relation(
        "phrase",
        "{e} is used for {v}.|The purpose of {e} is {v}.|People need {e} for {v}.",
        "What is {e} used for?|What is the purpose of {e}?|For what do people need {e}?|What is {e} good for?",
    ),
]

SETTING = [
    relation(
        "small",
        "The default of `{e}` is {v}.|`{e}` defaults to {v}.|If `{e}` is not given, {v} is used.",
        "What is the default of {e}?|What does {e} default to?|Which value does {e} have by default?"
        "|What is used if {e} is not given?",
    ),
    relation(
        "phrase",
        "`{e}` sets {v}.|Use `{e}` to change {v}.|The option `{e}` controls {v}.",
        "What does {e} set?|What does {e} control?|What is {e} for?|What can be changed with {e}?",
    ),
    relation(
        "identifier",
        "`{e}` was replaced by `{v}`.|Use `{v}` in place of `{e}`.|`{e}` is an old name of `{v}`.",
        "What replaced {e}?|What should be used in place of {e}?|What is the new name of {e}?|Which name follows {e}?",
    ),
    relation(
        "code",
        "`{e}` is available since version {v}.|Version {v} added `{e}`.|`{e}` first came with version {v}.",
        "Since which version is {e} available?|Which version added {e}?|In which version did {e} first come?"
        "|What version is needed for {e}?",
    ),
    relation(
        "identifier",
        "`{e}` returns `{v}`.|The function `{e}` gives back a `{v}`.|A call of `{e}` returns `{v}`.",
        "What does {e} return?|What does the function {e} give back?|What is the result of {e}?"
        "|What comes back from {e}?",
    ),
]

# Domain -> (kind of name, relations).
DOMAINS: dict[str, tuple[str, list[Relation]]] = {
    "person": ("person", PERSON),
    "company": ("company", COMPANY),
    "town": ("place", TOWN),
    "work": ("title", WORK),
    "device": ("device", DEVICE),
    "setting": ("identifier", SETTING),
}

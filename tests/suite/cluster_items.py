"""What workers of the tests' clusters are asked to do."""

import os


def square(number):
    return number * number


def die_of_thirteen(number):
    if number == 13:
        os._exit(1)
    return number

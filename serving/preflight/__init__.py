"""Checks a machine or a cluster against a deployment before anything is started.

A deployment gives demands; a probe gathers facts; checks, which are pure, compare the two and give
findings. What can't be looked at is a finding too, never an exception.
"""

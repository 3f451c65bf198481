"""The same users as a Locust swarm, for loads of hours, of many machines, or by a web page.

    locust -f loadtests/swarm/locustfile.py --host http://127.0.0.1:8080/v1 --model deepseek-r1

Only this package imports Locust, which takes over the sockets of its process.
"""

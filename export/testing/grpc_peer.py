# For tests, run by Python with the gRPC of C++ below it: nodes that answer with their number, and a
# gRPC client that finds them by xDS. Commands are lines on standard input, answers lines of JSON.

import json
import sys
from concurrent import futures

import grpc

METHOD = "/lars.test/Who"
servers = {}
channels = {}


class Who(grpc.GenericRpcHandler):
    def __init__(self, index):
        self.index = index

    def service(self, details):
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: bytes([self.index]))


def start_node(index, port="0"):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), [Who(int(index))])
    servers[index] = server
    bound = server.add_insecure_port("127.0.0.1:" + port)
    server.start()
    return {"port": bound}


def stop_node(index):
    servers[index].stop(None).wait()
    return {}


def call_many(target, count):
    if target not in channels:
        channels[target] = grpc.insecure_channel("xds:///" + target).unary_unary(METHOD, None, None)
    counts = {}
    for _ in range(int(count)):
        try:
            answer = channels[target](b"", timeout=20)[0]
        except grpc.RpcError as error:
            answer = "error %d" % error.code().value[0]
        counts[answer] = counts.get(answer, 0) + 1
    return counts


COMMANDS = {"node": start_node, "stop": stop_node, "call": call_many}

for line in sys.stdin:
    word, *rest = line.split()
    try:
        result = COMMANDS[word](*rest)
    except Exception as error:  # told to the test, which decides
        result = {"fault": repr(error)}
    print(json.dumps(result), flush=True)

#!/usr/bin/env python3
"""Writes the event file that EventTests compares with, by TensorBoard's own classes and its own writer.

    make_events.py FILE

The values are those of EventTests.sameBytesAsTensorBoard.
"""
import sys

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def main() -> None:
    with open(sys.argv[1], "wb") as file:
        writer = RecordWriter(file)
        clock = iter(1.7e9 + 0.5 + n for n in range(100))

        def write(**fields: object) -> None:
            writer.write(event_pb2.Event(wall_time=next(clock), **fields).SerializeToString())

        def summary(step: int, *values: summary_pb2.Summary.Value) -> None:
            write(step=step, summary=summary_pb2.Summary(value=values))

        write(file_version="brain.Event:2")
        write(step=3, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
        scalar = lambda tag, value: summary_pb2.Summary.Value(tag=tag, simple_value=value)
        shares = [0.25, 0.5, 0.0, 0.25]
        middles = [n + 0.5 for n in range(4)]
        histogram = summary_pb2.HistogramProto(
            min=0, max=4, num=sum(shares), sum=sum(s * m for s, m in zip(shares, middles)),
            sum_squares=sum(s * m * m for s, m in zip(shares, middles)), bucket_limit=[1, 2, 3, 4], bucket=shares)
        summary(
            3, scalar("train/loss", 2.5), scalar("validation/top1", 0.0), scalar("step/lr", -1e-7),
            summary_pb2.Summary.Value(tag="expert_share/layer1", histo=histogram))
        picture = summary_pb2.Summary.Image(height=2, width=300, colorspace=3, encoded_image_string=bytes(range(200)))
        summary(3, summary_pb2.Summary.Value(tag="validation", image=picture))
        text = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, string_val=["ein Stück\ntext".encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]))
        plugin = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
        summary(2**40, summary_pb2.Summary.Value(tag="sample", tensor=text, metadata=plugin))


if __name__ == "__main__":
    main()

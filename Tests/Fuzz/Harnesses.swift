import Foundation

/// All harnesses by the names that `scripts/fuzz` takes. One program holds them all, so that what they share is compiled once.
private let harnesses: [String: @Sendable (UnsafeBufferPointer<UInt8>) -> Void] = [
  "checkpoint": fuzzCheckpoint, "config": fuzzConfig, "names": fuzzNames, "pairs": fuzzPairs,
  "pickle": fuzzPickle, "pictures": fuzzPictures, "png": fuzzPNG,
  "safetensors": fuzzSafetensors, "shard": fuzzShard, "text": fuzzText, "tokenizer": fuzzTokenizer, "wav": fuzzWAV,
]

/// The harness that `MMOE_FUZZ` names.
private let harness: @Sendable (UnsafeBufferPointer<UInt8>) -> Void = {
  let name = ProcessInfo.processInfo.environment["MMOE_FUZZ"] ?? ""
  guard let harness = harnesses[name] else { fatalError("MMOE_FUZZ is '\(name)', expected \(harnesses.keys.sorted())") }
  return harness
}()

/// What libFuzzer calls with every input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  harness(UnsafeBufferPointer(start: start, count: count))
  return 0
}

import Foundation

/// Whatever a safetensors file, its index or a `config.json` hold, they are refused in one line or read to the end.
///
/// The first byte chooses the kind of file; headers get a right length, which no fuzzer would find often.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  guard let kind = bytes.first else { return 0 }
  let content = Array(bytes.dropFirst())
  switch kind & 3 {
  case 0:
    read(fuzzFile("model.safetensors", content))
  case 1:
    let parts = content.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    let length = withUnsafeBytes(of: UInt64(parts[0].count).littleEndian) { Array($0) }
    read(fuzzFile("model.safetensors", length + parts[0] + (parts.count > 1 ? Array(parts[1]) : [])))
  case 2:
    read(fuzzFile("model.safetensors.index.json", content))
  default:
    let path = fuzzFile("config.json", content)
    mayRefuse {
      let config = try HubConfig(path)
      precondition(config.layers > 0 && config.heads > 0 && config.keyValueHeads <= config.heads)
    }
  }
  return 0
}

private func read(_ path: String) {
  defer { unlink(path) }
  mayRefuse {
    let checkpoint = try SafetensorsCheckpoint(path)
    for name in checkpoint.names {
      let shape = checkpoint.shape(name)
      mayRefuse {
        let values = try checkpoint.floats(name)
        precondition(values.count == shape?.reduce(1, *))
      }
    }
  }
}

import Foundation

/// Whatever a safetensors file or a `config.json` beside it holds, it is refused in one line or gives its numbers.
///
/// The first byte chooses: the file as it is; a header without its length, which is put before it; `config.json`.
func fuzzSafetensors(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  guard let kind = bytes.first else { return }
  let content = Array(bytes.dropFirst())
  switch kind & 3 {
  case 0: read(content)
  case 1, 2:
    let parts = content.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    let length = withUnsafeBytes(of: UInt64(parts[0].count).littleEndian) { Array($0) }
    read(length + parts[0] + (parts.count > 1 ? parts[1] : []))
  default:
    _ = fuzzFile("config.json", content)
    mayRefuse { _ = try HubConfig(fuzzFolder) }
  }
}

private func read(_ bytes: [UInt8]) {
  let path = fuzzFile("model.safetensors", bytes)
  mayRefuse {
    let file = try SafetensorsFile(path)
    for name in file.names {
      let count = (file.shape(name) ?? []).reduce(1, *)
      mayRefuse {
        let floats = try file.floats(name)
        precondition(floats.count == count)
      }
    }
  }
}

import Foundation

/// Whatever names and numbers a whole checkpoint has, as a stranger can make it, it is refused in one line, or every name
/// leads to its own dataset and every number is in range.
///
/// The first byte chooses: a file written with names and numbers of the input; a good one in which names and numbers are
/// overwritten; one in which any bytes are. All have right checksums.
func fuzzNames(_ input: UnsafeBufferPointer<UInt8>) {
  guard let kind = input.first else { return }
  let content = Array(input.dropFirst())
  let path = fuzzFolder + "/names.h5"
  mayRefuse {
    switch kind % 3 {
    case 0: try write(content, to: path)
    case 1: try sealed(overwritten(content), to: path)
    default: try sealed(changed(content), to: path)
    }
    let reader = try CheckpointFile.open(path)
    for dataset in reader.datasets {
      let found = try reader.dataset(dataset.path)
      precondition(found.path.utf8.elementsEqual(dataset.path.utf8) && found == dataset, "another dataset of that name")
      mayRefuse {
        let values = try reader.readFloats(dataset.path)
        precondition(values.count == dataset.count)
      }
    }
    let header = try CheckpointHeader(reader)
    precondition(0...StepLimit.largest ~= header.step && (header.best?.step ?? 0) >= 0)
    let names = header.attachments.keys.flatMap { $0.split(separator: "/", omittingEmptySubsequences: false) }
    precondition(names.allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") && $0.utf8.allSatisfy { 0x2D...0x7A ~= $0 } })
    let dotted = reader.datasets.map { $0.path.replacing("/", with: ".") }.filter { !$0.hasPrefix("attachments.") }
    precondition(Set(dotted).count == dotted.count)
  }
}

/// Numbers that can be found in the file's bytes.
private let numbers = [("step", 0x1122_3344), ("best_step", 0x1122_3355), ("format_version", 1)]

private func write(_ content: [UInt8], to path: String) throws {
  var values = numbers.map(\.1)
  for (i, byte) in content.prefix(24).enumerated() { values[i / 8] ^= Int(byte) << (8 * (i % 8)) }
  let writer = try CheckpointWriter(path: path)
  for name in content.dropFirst(24).split(separator: 0).prefix(16) {
    try writer.writeBytes(String(decoding: name, as: UTF8.self), Array(name))
  }
  try finish(writer, values)
}

private func finish(_ writer: CheckpointWriter, _ values: [Int]) throws {
  for ((name, _), value) in zip(numbers, values) { try writer.setAttribute(name, value) }
  for name in ["task", "preset", "config", "backend"] { try writer.setAttribute(name, name) }
  try writer.setAttribute("best_value", 0.25)
  try writer.finish()
}

private let good: [UInt8] = {
  do {
    let path = fuzzFolder + "/good.h5"
    let writer = try CheckpointWriter(path: path)
    for name in ["model/norm/weight", "model/norm/bias", "optimizer/first/norm/weight"] {
      try writer.writeFloats(name, shape: [2], [1, 2])
    }
    for name in ["vocabulary/classes", "attachments/tokenizer/vocab.json", "attachments/tokenizer/merges.txt"] {
      try writer.writeBytes(name, Array("ab\ncd".utf8))
    }
    try finish(writer, numbers.map(\.1))
    return try readFile(path, limit: 1 << 20)
  } catch {
    fatalError("\(error)")
  }
}()

/// Where names and numbers are in the good file.
private let places: [Range<Int>] = {
  let words: [[UInt8]] =
    [
      "model", "norm", "weight", "bias", "optimizer", "first", "vocabulary", "classes", "attachments", "tokenizer",
      "vocab.json", "merges.txt", "step", "best_step", "format_version", "best_value", "config",
    ].map { Array($0.utf8) + [0] }
    + numbers.map { name, value in withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) } }
  return words.flatMap { word in
    good.indices.dropLast(word.count).filter { good[$0..<$0 + word.count].elementsEqual(word) }.map {
      $0..<$0 + (word.last == 0 && word.count != 8 ? word.count - 1 : word.count)
    }
  }
}()

/// Each change is a place and the eight bytes that are put there, as far as the name goes.
private func overwritten(_ changes: [UInt8]) -> [UInt8] {
  var bytes = good
  for start in stride(from: 0, to: changes.count - 8, by: 9) {
    let place = places[Int(changes[start]) % places.count]
    for (i, byte) in zip(place, changes[start + 1...start + 8]) { bytes[i] = byte }
  }
  return bytes
}

/// Each change is two bytes for the place behind the user block, and one for the value.
private func changed(_ changes: [UInt8]) -> [UInt8] {
  var bytes = good
  let count = bytes.count - UserBlock.size
  for i in stride(from: 0, to: changes.count - 2, by: 3) {
    bytes[UserBlock.size + (Int(changes[i]) << 8 | Int(changes[i + 1])) % count] = changes[i + 2]
  }
  return bytes
}

private func sealed(_ bytes: [UInt8], to path: String) throws {
  try writeFile(path, bytes)
  let checksum = try CheckpointFile.checksum(OpenFile(reading: path), path, end: bytes.count)
  try writeFile(path, UserBlock(fileBytes: bytes.count, checksum: checksum).encoded + bytes.dropFirst(UserBlock.size))
}

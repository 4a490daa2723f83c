import Foundation
import TestSupport
import Testing

@testable import MMoEData

/// The container of weights: what it gives back, and the one line that a broken file gets.
@Suite struct SafetensorsTests {
  /// A file with this JSON header and these bytes of data.
  private func file(_ header: String, data: Int = 0, in folder: TemporaryFolder, _ name: String = "model.safetensors")
    throws -> String
  {
    let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { [UInt8]($0) }
    return try folder.write(name, length + header.utf8 + (0..<data).map { UInt8(truncatingIfNeeded: $0) })
  }

  private func write(_ tensors: [(String, [Int], [Float])], _ metadata: [String: String] = [:], to path: String) throws
  {
    let buffers = tensors.map { name, shape, values in
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
      _ = buffer.initialize(from: values)
      return SafetensorsTensor(name: name, shape: shape, values: UnsafeBufferPointer(buffer))
    }
    defer { for tensor in buffers { tensor.values.deallocate() } }
    try SafetensorsFile.write(buffers, metadata: metadata, to: path)
  }

  @Test func writtenTensorsComeBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/a.safetensors"
    let tensors: [(String, [Int], [Float])] = [
      ("b/\"ö\".weight", [2, 3], [1, -2, .infinity, 1e-40, 0, 3.5]), ("a", [], [7]), ("empty", [0, 4], []),
      ("c", [1, 1, 2], [-0.0, 9]),
    ]
    try write(tensors, ["format": "pt"], to: path)
    let read = try SafetensorsFile(path)
    #expect(read.names == ["a", "b/\"ö\".weight", "c", "empty"])
    #expect(read.metadata == ["format": "pt"])
    for (name, shape, values) in tensors {
      #expect(read.shape(name) == shape)
      #expect(try read.floats(name) == values)
    }
    // The order given does not matter, and the data is aligned.
    let other = folder.path + "/b.safetensors"
    try write(tensors.reversed(), ["format": "pt"], to: other)
    let bytes = try readFile(path, limit: 1 << 20)
    #expect(try readFile(other, limit: 1 << 20) == bytes)
    #expect((bytes.count - 4 * 9) % 8 == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["a.safetensors", "b.safetensors"])
  }

  @Test func everyTypeIsConverted() throws {
    let folder = try TemporaryFolder()
    let header = """
      {"f64": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
       "i64": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
       "f16": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]},
       "bf16": {"dtype": "BF16", "shape": [2], "data_offsets": [22, 26]},
       "f32": {"dtype": "F32", "shape": [1], "data_offsets": [26, 30]},
       "mask": {"dtype": "BOOL", "shape": [2], "data_offsets": [30, 32]}}
      """
    var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { [UInt8]($0) } + header.utf8
    func add<Number>(_ number: Number) { withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) } }
    add(Double.pi)
    add(Int64(-5))
    for bits: UInt16 in [0x3C00, 0xC100, 0x0001, 0x3FC0, 0xFF80] { add(bits) }
    add(Float(0.1))
    add(UInt16(1))
    let read = try SafetensorsFile(folder.write("a.safetensors", bytes))
    #expect(try read.floats("f64") == [Float(Double.pi)])
    #expect(
      message { _ = try read.floats("i64") }?.contains("tensor 'i64': dtype is I64, expected weights of F32") == true)
    #expect(try read.floats("f16") == [1, -2.5, 0x1p-24])
    #expect(try read.floats("bf16") == [1.5, -.infinity])
    #expect(try read.floats("f32") == [0.1])
    #expect(
      message { _ = try read.floats("mask") }?.contains(
        "tensor 'mask': dtype is BOOL, expected weights of F32, F16, BF16 or F64") == true)
    #expect(
      message { _ = try read.floats("f8") }?.hasSuffix("no tensor 'f8'; the file has 6, such as 'bf16', 'f16', 'f32'")
        == true)
    let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: 2)
    defer { buffer.deallocate() }
    #expect(
      message { try read.copy("bf16", shape: [1, 2], to: buffer) }?.hasSuffix(
        "tensor 'bf16': shape [2], expected [1, 2]") == true)
    try read.copy("bf16", shape: [2], to: buffer)
    #expect(buffer[0] == 1.5)
  }

  @Test(arguments: [
    ("[1]", 0, "begins with byte 91, expected '{'"),
    ("{\"a\": ", 0, "no JSON with whole numbers"),
    ("{\"a\": 1}", 0, "tensor 'a'"),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [1]}}", 4, "tensor 'a': data_offsets is missing"),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [1.5], \"data_offsets\": [0, 4]}}", 4, "no JSON with whole numbers"),
    ("{\"a\": {\"dtype\": \"F99\", \"shape\": [1], \"data_offsets\": [0, 4]}}", 4, "dtype 'F99', expected"),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [-1], \"data_offsets\": [0, 4]}}", 4, "shape [-1]"),
    (
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 4]}}", 4,
      "4 bytes at data_offsets [0, 4], expected 8"
    ),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 0]}}", 4, "the second not smaller"),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4, 8]}}", 4, "expected two numbers"),
    (
      "{\"a\": {\"dtype\": \"F64\", \"shape\": [4611686018427387904, 4], \"data_offsets\": [0, 0]}}", 0,
      "whose product fits a file"
    ),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 8]}}", 8, "begin at 4, expected 0"),
    (
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}, \"b\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [2, 6]}}",
      6, "tensor 'b': data_offsets begin at 2, expected 4"
    ),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 4, "the tail is cut"),
    ("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}", 5, "something was appended"),
    (
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}, \"__metadata__\": {\"x\": 1}}", 4,
      "__metadata__"
    ),
  ]) func brokenHeaders(header: String, data: Int, words: String) throws {
    let folder = try TemporaryFolder()
    let path = try file(header, data: data, in: folder)
    let found = message { _ = try SafetensorsFile(path) }
    #expect(found?.contains(words) == true && found?.hasPrefix(path) == true, "\(found ?? "nothing")")
    #expect(found?.contains("\n") == false)
  }

  @Test func cutAndStrangeFiles() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/a.safetensors"
    try write([("a", [3], [1, 2, 3]), ("b", [2], [4, 5])], to: path)
    let whole = try readFile(path, limit: 1 << 20)
    for length in 0..<whole.count {
      let cut = try folder.write("cut.safetensors", Array(whole[..<length]))
      let found = message { _ = try SafetensorsFile(cut) }
      #expect(found?.hasPrefix(cut) == true, "\(length) bytes: \(found ?? "nothing")")
    }
    let long = try folder.write("long", [UInt8](repeating: 0xFF, count: 64))
    #expect(message { _ = try SafetensorsFile(long) }?.contains("header of 18446744073709551615 bytes") == true)
    #expect(message { _ = try SafetensorsFile(folder.path) }?.contains("not a regular file") == true)
    #expect(message { try write([("a", [0], []), ("a", [0], [])], to: path) }?.contains("stands twice") == true)
    // A refused write leaves the earlier file.
    #expect(try readFile(path, limit: 1 << 20) == whole)
  }

  @Test func severalFilesAndTheirIndex() throws {
    let folder = try TemporaryFolder()
    try write([("x", [2], [1, 2])], to: folder.path + "/model-00001-of-00002.safetensors")
    try write([("y", [1], [3]), ("z", [1], [4])], to: folder.path + "/model-00002-of-00002.safetensors")
    func index(_ map: String) throws {
      try folder.write("model.safetensors.index.json", [UInt8]("{\"metadata\": {}, \"weight_map\": \(map)}".utf8))
    }
    try index("{\"x\": \"model-00001-of-00002.safetensors\", \"y\": \"model-00002-of-00002.safetensors\"}")
    let extra = message { _ = try SafetensorsCheckpoint(folder.path) }
    #expect(extra?.contains("tensor 'z' is in model-00002-of-00002.safetensors, but not in weight_map") == true)
    try write([("y", [1], [3])], to: folder.path + "/model-00002-of-00002.safetensors")
    let read = try SafetensorsCheckpoint(folder.path)
    #expect(read.names == ["x", "y"])
    #expect(try read.floats("y") == [3])
    #expect(message { _ = try read.floats("z") }?.contains("no tensor 'z'; the checkpoint has 2") == true)
    try index("{\"w\": \"model-00001-of-00002.safetensors\"}")
    #expect(message { _ = try SafetensorsCheckpoint(folder.path) }?.contains("'w': not in model-00001") == true)
    try index("{\"w\": \"model-00003-of-00002.safetensors\"}")
    #expect(message { _ = try SafetensorsCheckpoint(folder.path) }?.contains("No such file") == true)
    try index("{\"w\": \"../x.safetensors\"}")
    #expect(
      message { _ = try SafetensorsCheckpoint(folder.path) }?.contains("file '../x.safetensors', expected") == true)
    try index("[]")
    #expect(message { _ = try SafetensorsCheckpoint(folder.path) }?.contains("weight_map") == true)
    #expect(
      message { _ = try SafetensorsCheckpoint(folder.path + "/none") }?.contains("no such file or folder") == true)
    let empty = try TemporaryFolder()
    #expect(message { _ = try SafetensorsCheckpoint(empty.path) }?.contains("no weights found") == true)
  }

  private static let parity = SharedData.folder("parity")

  @Test(.enabled(if: parity != nil, "no parity in ../shared/data or $MMOE_SHARED_DATA"))
  func filesOfTheReferenceImplementation() throws {
    let folder = try #require(SafetensorsTests.parity)
    let weights = try SafetensorsCheckpoint(folder + "/gpt2-tiny-random")
    #expect(weights.shape("transformer.wte.weight") == [257, 48])
    #expect(weights.shape("transformer.h.2.mlp.c_fc.weight") == [48, 192])
    for name in weights.names { #expect(try weights.floats(name).allSatisfy(\.isFinite)) }
    // Block 0's input is the sum of the two embeddings.
    let ids = try NumpyFile(folder + "/gpt2-tiny-random/input_input_ids.npy")
    let states = try NumpyFile(folder + "/gpt2-tiny-random/expected_hidden_0.npy")
    let (tokens, positions) = (
      try weights.floats("transformer.wte.weight"), try weights.floats("transformer.wpe.weight")
    )
    #expect(states.shape == ids.shape + [48])
    for (row, id) in ids.integers.enumerated() {
      for column in 0..<48 {
        let sum = tokens[id * 48 + column] + positions[row % ids.shape[1] * 48 + column]
        #expect(abs(sum - states.values[row * 48 + column]) < 1e-6)
      }
    }
  }
}

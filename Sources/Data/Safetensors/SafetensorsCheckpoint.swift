import Foundation
import MMoEFiles
import MMoETensor

/// The weights of a model in one safetensors file, or in several that `model.safetensors.index.json` names.
package struct SafetensorsCheckpoint: Sendable {
  /// All tensors' names, sorted.
  package let names: [String]
  /// The file with a tensor of this name.
  private let files: [String: SafetensorsFile]
  private let path: String

  private static let fileName = "model.safetensors"
  private static let indexName = "model.safetensors.index.json"

  private struct Index: Decodable {
    let weights: [String: String]
    enum CodingKeys: String, CodingKey { case weights = "weight_map" }
  }

  /// The files that hold the tensors, sorted.
  package var paths: [String] { Set(files.values.map(\.path)).sorted() }

  /// Opens a `.safetensors` file, an index, or a folder with `model.safetensors` or its index.
  ///
  /// - Throws: `DataError` naming the file and what is wrong: missing files, damaged ones, tensors that the index
  ///   promises and no file has.
  package init(_ path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError("\(path): no such file or folder; expected \(Self.fileName) or a folder with it")
    }
    guard isFolder.boolValue else {
      self = try path.hasSuffix(".json") ? Self(index: path) : Self(file: path)
      return
    }
    if let name = [Self.fileName, Self.indexName].first(where: {
      FileManager.default.fileExists(atPath: "\(path)/\($0)")
    }) {
      self = try Self("\(path)/\(name)")
    } else {
      throw DataError("\(path): no weights found; expected \(Self.fileName) or \(Self.indexName)")
    }
  }

  private init(file path: String) throws {
    let file = try SafetensorsFile(path)
    self.path = path
    names = file.names
    files = Dictionary(uniqueKeysWithValues: file.names.map { ($0, file) })
  }

  private init(index path: String) throws {
    self.path = path
    let index: Index
    do {
      index = try JSONDecoder().decode(Index.self, from: Data(readFile(path, limit: SafetensorsHeader.limit)))
    } catch is DecodingError {
      throw DataError("\(path): no index of safetensors files; expected JSON with weight_map, names to file names")
    }
    let folder = FilePath.folder(of: path)
    var opened: [String: SafetensorsFile] = [:]
    var files: [String: SafetensorsFile] = [:]
    for (name, part) in index.weights.sorted(by: { $0.key < $1.key }) {
      if opened[part] == nil {
        // An index from elsewhere must not make us open files elsewhere.
        guard !part.utf8.contains(UInt8(ascii: "/")), part.hasSuffix(".safetensors") else {
          throw DataError(
            path, found: "tensor '\(name)': file '\(part.prefix(80))'",
            expected: "the name of a .safetensors file beside the index")
        }
        opened[part] = try SafetensorsFile(folder.isEmpty ? part : "\(folder)/\(part)")
      }
      guard let file = opened[part], file.shape(name) != nil else {
        throw DataError(
          path, found: "tensor '\(name)': not in \(part), where the index has it", remedy: "fetch the files again")
      }
      files[name] = file
    }
    for (part, file) in opened.sorted(by: { $0.key < $1.key }) {
      if let extra = file.names.first(where: { files[$0] == nil }) {
        throw DataError(
          "\(path): tensor '\(extra)' is in \(part), but not in weight_map; expected an index of all tensors; fetch the files again"
        )
      }
    }
    names = files.keys.sorted()
    self.files = files
  }

  /// The type of a tensor's numbers, or nil where there is none of that name.
  package func type(_ name: String) -> SafetensorsType? { files[name]?.type(name) }

  /// The shape of a tensor, or nil where there is none of that name.
  package func shape(_ name: String) -> [Int]? { files[name]?.shape(name) }

  /// Copies a tensor as float32, row-major; see `SafetensorsFile.copy`.
  ///
  /// - Throws: `DataError` naming file and tensor: missing, of another shape, or of a type that no weights have.
  package func copy(_ name: String, shape: [Int], to destination: UnsafeMutableBufferPointer<Float>) throws {
    try file(name).copy(name, shape: shape, to: destination)
  }

  /// A tensor as float32, row-major.
  ///
  /// - Throws: `DataError` naming file and tensor: missing, of a type that no weights have, or with a number that is not
  ///   finite.
  package func floats(_ name: String) throws -> [Float] {
    let file = try file(name)
    let values = try file.floats(name)
    if let index = values.withUnsafeBufferPointer({ firstNotFinite($0) }) {
      throw DataError(
        "\(file.path)", found: "tensor '\(name)': element \(index) is \(values[index])", expected: "finite weights",
        remedy: "fetch the file again")
    }
    return values
  }

  private func file(_ name: String) throws -> SafetensorsFile {
    guard let file = files[name] else {
      let some = names.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
      throw DataError(path, found: "no tensor '\(name)'", remedy: "the checkpoint has \(names.count), such as \(some)")
    }
    return file
  }
}

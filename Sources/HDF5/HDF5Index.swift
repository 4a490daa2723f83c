import CHDF5
import MMoEFiles

/// The tree of a file that does not change: made once while everything in it is checked, so that
/// questions need no HDF5 call afterwards and reading meets nothing that would be refused.
struct HDF5Index: Sendable {
  /// By increasing path.
  private(set) var datasets: [HDF5Dataset] = []
  private var groups: [ExactName: [HDF5Entry]] = [:]
  /// The file beside this one that has a dataset, by the dataset's path.
  private var links: [ExactName: ExactName] = [:]
  private var places: [ExactName: Int] = [:]

  func dataset(_ path: String) -> HDF5Dataset? { places[ExactName(path)].map { datasets[$0] } }

  /// The members of a group by increasing name; nil where there is none.
  func members(_ path: String) -> [HDF5Entry]? { groups[ExactName(path)] }

  /// The name of the file beside this one that has a dataset.
  func part(of path: String) -> ExactName? { links[ExactName(path)] }

  /// All files beside this one.
  var parts: Set<ExactName> { Set(links.values) }

  /// Walks an open file.
  ///
  /// - Parameters:
  ///   - bytes: the file's length, which bounds what its datasets can hold.
  ///   - allowsParts: whether datasets may be in parts of a checkpoint beside the file; `complete` then says what they are.
  /// - Throws: `HDF5Error` for the first thing that is malformed or refused.
  init(_ id: mmoe_h5_id, file: String, bytes: Int, allowsParts: Bool) throws {
    let builder = Builder()
    let context = Unmanaged.passUnretained(builder).toOpaque()
    try HDF5Library.shared.call(file, .refused) { fault in
      succeeded(
        mmoe_h5_walk(id, UInt64(bytes), visit, allowsParts ? visitLink : nil, context, fault)
          || builder.problem != nil)
    }
    if let problem = builder.problem { throw HDF5Error(.refused, file, problem) }
    self = builder.index
  }

  private init() {}

  /// Takes the linked datasets' descriptions from the parts.
  ///
  /// - Throws: `HDF5Error` when a part has no such dataset.
  mutating func complete(from parts: [ExactName: HDF5Reader]) throws {
    for (path, name) in links {
      guard let part = parts[name], let place = places[path] else { continue }
      let found = try part.dataset(path.text)
      // Its place is one in another file.
      datasets[place] = HDF5Dataset(
        path: path.text, type: found.type, shape: found.shape, count: found.count, fileOffset: nil)
    }
  }

  /// Lets the walk's C function add to an index.
  fileprivate final class Builder {
    var index = HDF5Index()
    /// What an object is refused for on this side.
    var problem: String?

    /// Returns whether the object was accepted.
    func add(_ name: UnsafePointer<CChar>, _ dataset: mmoe_h5_dataset?) -> Bool {
      guard let path = String(validatingCString: name) else {
        problem = "'\(String(cString: name))': a name that is not UTF-8"
        return false
      }
      guard let dataset else {
        index.groups[ExactName(path)] = []
        link(path, .group)
        return true
      }
      guard let described = HDF5Dataset(path, dataset) else {
        problem = "dataset '\(path)': its shape is beyond 63 bits"
        return false
      }
      index.places[ExactName(path)] = index.datasets.count
      index.datasets.append(described)
      link(path, .dataset)
      return true
    }

    /// Returns whether the link was accepted: only a part of a checkpoint beside the file, and there the same path.
    func addLink(_ name: UnsafePointer<CChar>, file: UnsafePointer<CChar>, object: UnsafePointer<CChar>) -> Bool {
      guard let path = String(validatingCString: name), let file = String(validatingCString: file),
        let object = String(validatingCString: object)
      else {
        problem = "'\(String(cString: name))': a link that is not UTF-8"
        return false
      }
      guard CheckpointPart.isName(file), ExactName(normalized(object)) == ExactName(path) else {
        problem =
          "'\(path)' is a link to \(object.prefix(80)) of \(file.prefix(80)), which is refused; expected the same path in a file NAME.rNN.h5 beside this one"
        return false
      }
      index.links[ExactName(path)] = ExactName(file)
      index.places[ExactName(path)] = index.datasets.count
      index.datasets.append(HDF5Dataset(path: path, type: .uint8, shape: [0], count: 0, fileOffset: nil))
      link(path, .dataset)
      return true
    }

    /// Makes an object a member of its group, which has been added before it.
    private func link(_ path: String, _ kind: HDF5Entry.Kind) {
      guard !path.isEmpty else { return }
      let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
      let parent = slash.map { String(path[..<$0]) } ?? ""
      let name = slash.map { String(path[path.utf8.index(after: $0)...]) } ?? path
      index.groups[ExactName(parent), default: []].append(HDF5Entry(name: name, kind: kind))
    }
  }
}

extension HDF5Dataset {
  fileprivate init?(_ path: String, _ dataset: mmoe_h5_dataset) {
    guard let type = HDF5ElementType(dataset.type), let count = Int(exactly: dataset.count) else {
      return nil
    }
    let extents = withUnsafeBytes(of: dataset.shape) { bytes in
      bytes.bindMemory(to: UInt64.self).prefix(Int(dataset.rank)).map { Int(exactly: $0) }
    }
    let shape = extents.compactMap { $0 }
    guard shape.count == extents.count else { return nil }
    self.init(
      path: path, type: type, shape: shape, count: count, fileOffset: Int(exactly: dataset.offset))
  }
}

/// Called by the walk for every object.
private let visit: mmoe_h5_visit = { context, path, _, dataset, _ in
  guard let context, let path else { return false }
  let builder = Unmanaged<HDF5Index.Builder>.fromOpaque(context).takeUnretainedValue()
  return builder.add(path, dataset?.pointee)
}

/// Called by the walk for every external link.
private let visitLink: mmoe_h5_visit_external = { context, path, file, object, _ in
  guard let context, let path, let file, let object else { return false }
  let builder = Unmanaged<HDF5Index.Builder>.fromOpaque(context).takeUnretainedValue()
  return builder.addLink(path, file: file, object: object)
}

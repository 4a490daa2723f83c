import MMoEFiles

/// A public data set that `mmoe data fetch` downloads: where it is, what it is, and by what its files are known.
package struct PublicSet: Sendable {
  /// One of its files.
  package struct File: Sendable {
    package let name: String
    package let address: String
    package let bytes: Int
    package let checksum: Checksum

    package init(_ name: String, _ address: String, bytes: Int, _ checksum: Checksum) {
      (self.name, self.address, self.bytes, self.checksum) = (name, address, bytes, checksum)
    }
  }

  package let name: String
  /// In a few words.
  package let summary: String
  /// As its authors or those who offer it state it.
  package let license: String
  /// Who states addresses, sizes and checksums.
  package let source: String
  package let files: [File]
  /// Commands that go on from there; FOLDER stands for that of the files.
  package let next: [String]
  /// Whether a test has fetched the addresses.
  package let isTested: Bool

  package init(
    _ name: String, _ summary: String, license: String, source: String, files: [File], next: [String],
    isTested: Bool = false
  ) {
    (self.name, self.summary, self.license, self.source) = (name, summary, license, source)
    (self.files, self.next, self.isTested) = (files, next, isTested)
  }

  package var bytes: Int { files.reduce(0) { $0 + $1.bytes } }

  /// By name, those that are shipped in alphabetical order.
  package static let registry = Registry<PublicSet>("public set", shipped.map { ($0.name, $0) })

  /// The addresses of its files at another place.
  ///
  /// - Parameter mirror: of a folder that has files of these names; of a set of one file it may be that file's, without a
  ///   slash at its end.
  package func addresses(at mirror: String?) -> [String] {
    guard let mirror else { return files.map(\.address) }
    if files.count == 1, mirror.last != "/" { return [mirror] }
    return files.map { FilePath.join(mirror, $0.name) }
  }

  /// The commands that go on from a folder, quoted for a shell.
  package func commands(in folder: String) -> [String] {
    next.map { $0.replacing("FOLDER", with: ShellWord.quoted(folder)) }
  }
}

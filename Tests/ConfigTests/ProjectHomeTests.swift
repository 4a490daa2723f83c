import Foundation
import MMoEData
import MMoEFiles
import TestSupport
import Testing

@testable import MMoEConfig

/// Where things are kept that can be made again.
@Suite struct ProjectHomeTests {
  /// A folder's name below a file, where not even root makes one.
  private static let unwritable: (scratch: ScratchFolder, path: String) = {
    let scratch = ScratchFolder()
    try! Data().write(to: URL(fileURLWithPath: scratch("file")))
    return (scratch, scratch("file/project"))
  }()

  /// The user's cache, where the home is there and can be written; else the project's folder. HOME stands for a home that is
  /// there, FILE for one below a file.
  @Test(
    arguments: [
      (["MMOE_CACHE": "/own", "HOME": "HOME"], "/own"), (["HOME": "HOME"], "HOME/.cache/mmoe"),
      (["MMOE_CACHE": "", "HOME": "HOME"], "HOME/.cache/mmoe"),
      (["HOME": "HOME", "XDG_CACHE_HOME": "HOME/big"], "HOME/big/mmoe"),
      (["HOME": "HOME", "XDG_CACHE_HOME": "relative"], "HOME/.cache/mmoe"),
      (["HOME": "HOME", "XDG_CACHE_HOME": "FILE"], nil), (["HOME": "FILE"], nil), (["HOME": "HOME/gone"], nil),
      ([:], nil),
    ] as [([String: String], String?)])
  func usesTheHomeThatCanBeWritten(environment: [String: String], expected: String?) {
    let (home, project) = (ScratchFolder(), ScratchFolder())
    func named(_ text: String) -> String {
      text.replacingOccurrences(of: "HOME", with: home.path)
        .replacingOccurrences(of: "FILE", with: ProjectHomeTests.unwritable.path)
    }
    let found = ProjectHome.cache(of: project.path, environment.mapValues(named))
    #expect(found == expected.map(named) ?? project("datasets/generated"))
  }

  /// Where neither can be written, the user's cache is named, since that is where it should have been.
  @Test func namesTheUsersCacheInTheEnd() {
    let path = ProjectHomeTests.unwritable.path
    #expect(ProjectHome.cache(of: path, ["XDG_CACHE_HOME": path]) == path + "/mmoe")
    #expect(ProjectHome.cache(of: path, [:]) == path + "/datasets/generated")
  }

  /// Tests make nothing in the home of whoever runs them.
  @Test func testsHaveACacheOfTheirOwn() {
    #expect(FilePath.name(of: ProjectHome.cache).hasPrefix("mmoe-test-cache-"), "\(ProjectHome.cache)")
  }

  /// What cannot be written to the cache names the variable; what is wrong with the user's own files does not.
  @Test func errorsNameTheVariable() {
    let cache = ProjectHomeTests.unwritable.path
    func text(_ message: String) -> String {
      do {
        try ProjectHome.filling(cache) { throw DataError(message) }
        return ""
      } catch {
        return "\(error)"
      }
    }
    #expect(
      text("\(cache)/x: cannot be created")
        == "\(cache)/x: cannot be created, or set MMOE_CACHE to a folder that can be written")
    #expect(text("/home/x: no such folder") == "/home/x: no such folder")
  }
}

import MMoEFiles
import Testing

/// What users choose by name can be added to from outside, once.
@Suite struct RegistryTests {
  @Test func keepsTheOrderAndAddsAtTheEnd() throws {
    let registry = Registry("color", [("red", 1), ("green", 2)])
    try registry.register("light-blue", 3)
    #expect(registry.names == ["red", "green", "light-blue"])
    #expect(registry["light-blue"] == 3 && registry["blue"] == nil)
    #expect(registry.listing == "red, green, light-blue")
  }

  @Test func refusesANameThatIsTaken() throws {
    let registry = Registry("color", [("red", 1)])
    let error = #expect(throws: RegistryError.self) { try registry.register("red", 2) }
    #expect(
      error?.description
        == "the color red is registered already, expected one registration; choose another name, or register it once")
    #expect(registry.values == [1])
  }

  @Test(arguments: ["", "two words", "a=b", "grün", "a,b", "a/b"])
  func refusesANameThatNoConfigurationCanHold(_ name: String) {
    let registry = Registry("color", [("red", 1)])
    #expect(throws: RegistryError.self) { try registry.register(name, 2) }
    #expect(registry.names == ["red"])
  }
}

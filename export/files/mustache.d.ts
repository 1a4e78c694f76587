// The part of the package mustache that is used here; it ships no types.
declare const mustache: {
  parse(template: string): unknown;
  render(
    template: string,
    view: unknown,
    partials?: undefined,
    config?: { readonly escape: (value: unknown) => string },
  ): string;
};
export default mustache;

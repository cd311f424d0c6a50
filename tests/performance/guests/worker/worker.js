// Greets whom the body of a request names: the benchmark's work for workerd.

export default {
  async fetch(request) {
    const { name } = await request.json();
    const body = JSON.stringify({ message: "hello " + name });
    return new Response(body, { headers: { "content-type": "application/json" } });
  },
};

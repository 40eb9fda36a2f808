// The outermost part of the page, which Headlamp's npm package does not have: everything inside is the package's.
// The package's modules import each other in circles. Entered here, each is ready when another needs it.
import '../headlamp/lib/lib/router';
import './fonts.css';
import { addIcon } from '@iconify/react';
import CssBaseline from '@mui/material/CssBaseline';
import { ThemeProvider } from '@mui/material/styles';
import { QueryClientProvider } from '@tanstack/react-query';
import { SnackbarProvider } from 'notistack';
import { createRoot } from 'react-dom/client';
import { Provider } from 'react-redux';
import { BrowserRouter } from 'react-router-dom';
import icons from 'virtual:icons';
import { useCurrentAppTheme } from '../headlamp/lib/components/App/themeSlice';
import { PreviousRouteProvider } from '../headlamp/lib/components/App/RouteSwitcher';
import '../headlamp/lib/i18n/config';
import { queryClient } from '../headlamp/lib/lib/queryClient';
import { createMuiTheme } from '../headlamp/lib/lib/themes';
import { pluginsLoaded } from '../headlamp/lib/plugin/pluginsSlice';
import { setConfig } from '../headlamp/lib/redux/configSlice';
import store from '../headlamp/lib/redux/stores/store';
import './editor';
import { Layout } from './layout';

for (const [name, icon] of Object.entries(icons)) addIcon(`mdi:${name}`, icon as any);

function Page() {
  const theme = useCurrentAppTheme();
  return (
    <ThemeProvider theme={createMuiTheme(theme)}>
      <CssBaseline />
      <SnackbarProvider anchorOrigin={{ vertical: 'bottom', horizontal: 'left' }}>
        <BrowserRouter>
          <PreviousRouteProvider>
            <Layout />
          </PreviousRouteProvider>
        </BrowserRouter>
      </SnackbarProvider>
    </ThemeProvider>
  );
}

async function start() {
  const { clusters } = await (await fetch('/config')).json();
  store.dispatch(setConfig({ clusters: Object.fromEntries(clusters.map((c: any) => [c.name, c])) }));
  store.dispatch(pluginsLoaded());
  createRoot(document.getElementById('root')!).render(
    <Provider store={store}>
      <QueryClientProvider client={queryClient}>
        <Page />
      </QueryClientProvider>
    </Provider>
  );
}

start();
